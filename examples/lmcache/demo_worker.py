# SPDX-License-Identifier: Apache-2.0
"""One process of the demonstration, started by demo.py: it computes a prompt and stores its keys and values, or it
restores them and goes on.

usage: demo_worker.py JOB.json      what is in a job: the fields of Job

Says what it does as JSON, one object a line, on standard output; everything else that is printed, LMCache's log above
all, goes to standard error. Exit status 0 when the job was done, whatever was found in the store."""

import dataclasses
import json
import os
import pathlib
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Job:
    """task: "prefill" computes, stores, and writes what it said; "restore" restores, computes what is missing, goes on,
    and compares. address: of the agent. config: file that LMCache's configuration is written to.

    lengths: tokens of the prompts' prefixes, one after the other. runs: how often each is measured. own_documents: each
    length has a document of its own, which begins with a line of its own; otherwise the short ones are beginnings
    of the long ones, and LMCache keeps what they share as it was computed first. store_again: whether a
    restore stores what it had to compute. result: file for the logits, with the length appended."""

    task: str
    model_cache: str
    route: str
    address: str
    chunk_tokens: int
    config: str
    document: str
    question: str
    answer: str
    lengths: list[int]
    generate: int
    result: str
    runs: int = 1
    own_documents: bool = False
    store_again: bool = False


Say = Callable[..., None]


def main() -> int:
    # Only what this program says goes to the reader; libraries that print are not understood there.
    reader = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    job = Job(**json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")))

    def say(event: str, **fields: Any) -> None:
        reader.write(json.dumps({"event": event, **fields}) + "\n")

    try:
        run(job, say)
    except Exception as error:
        traceback.print_exc()
        say("error", text="%s: %s" % (type(error).__name__, error))
        return 1
    return 0


def run(job: Job, say: Say) -> None:
    say("stage", text="loading the model")
    import demo_model  # after the descriptors are sorted out; it is slow, too
    import demo_routes

    cache = pathlib.Path(job.model_cache)
    if not demo_model.is_converted(cache):
        say("stage", text="converting the model, once")
    model = demo_model.Model(demo_model.convert(cache))
    say("stage", text="warming up")
    model.warm_up()
    say("stage", text="starting LMCache")
    import demo_store

    config = demo_routes.configuration(job.route, job.address, job.chunk_tokens,
                                       job.chunk_tokens * model.shape.token_bytes, max(job.lengths) // job.chunk_tokens)
    pathlib.Path(job.config).write_text(json.dumps(config, indent=1), encoding="utf-8")  # JSON is YAML, too
    store = demo_store.Store(pathlib.Path(job.config), model.shape)
    say("ready", model=demo_model.NAME, layers=model.shape.layers, heads=model.shape.heads,
        head_size=model.shape.head_size, dtype=str(model.shape.dtype).removeprefix("torch."),
        token_bytes=model.shape.token_bytes, lmcache=store.version, chunk_tokens=store.chunk_tokens)
    try:
        document = pathlib.Path(job.document).read_text(encoding="utf-8")
        for length in job.lengths:
            text = "The copy of %d tokens.\n\n%s" % (length, document) if job.own_documents else document
            prefix, rest = model.prompt(text, length, job.question, job.answer)
            one = prefill if job.task == "prefill" else restore
            say("result", length=length, **one(job, say, model, store, prefix, rest))
    finally:
        store.close()
    say("done")


def cut(store: Any, prefix: list[int], rest: list[int]) -> tuple[list[int], list[int]]:
    """(what is cached, what is not): LMCache keeps whole chunks."""
    cached = len(prefix) - len(prefix) % store.chunk_tokens
    return prefix[:cached], prefix[cached:] + rest


def prefill(job: Job, say: Say, model: Any, store: Any, prefix: list[int], rest: list[int]) -> dict[str, Any]:
    """Computes a prompt, stores it, and says what comes next."""
    import safetensors.torch

    cached, ask = cut(store, prefix, rest)
    times = []
    for number in range(job.runs):
        cache = model.new_cache()
        begin = time.perf_counter()
        model.prefill(cache, cached, 0, lambda done: say(
            "progress", text="prefill", done=number * len(cached) + done, total=job.runs * len(cached)))
        times.append(time.perf_counter() - begin)
    say("stage", text="storing")
    store_s = store.store(cached, cache)
    say("stage", text="generating")
    said = model.go_on(cache, ask, job.generate, time.perf_counter)
    safetensors.torch.save_file({"logits": said.logits.contiguous()}, "%s.%d" % (job.result, len(prefix)))
    return {"cached": len(cached), "prefill_s": statistics.median(times), "prefill_all_s": times, "store_s": store_s,
            "first_token_s": times[-1] + said.first_s, "text": said.text, "generated": said.tokens}


def restore(job: Job, say: Say, model: Any, store: Any, prefix: list[int], rest: list[int]) -> dict[str, Any]:
    """Restores a prompt, computes what did not come, says what comes next, and compares with what the first process
    found."""
    import demo_model
    import demo_store
    import safetensors.torch
    import torch

    cached, ask = cut(store, prefix, rest)
    memory = demo_store.KvMemory(model.shape, len(cached))
    say("restoring", length=len(prefix))
    measured = [store.restore(cached, memory)]
    first = measured[0]
    # Blocks are computed whole, so that they come out as they did the first time.
    used = int(first["restored"])
    if used < len(cached):
        used -= used % demo_model.BLOCK_TOKENS
    cache = model.new_cache()
    if used:
        memory.hand_over(cache, used)
    recompute_s = 0.0
    if used < len(cached):
        begin = time.perf_counter()
        model.prefill(cache, cached, used,
                      lambda done: say("progress", text="computing what is missing", done=done, total=len(cached)))
        recompute_s = time.perf_counter() - begin
    stored_s = store.store(cached, cache, int(first["restored"])) if job.store_again and used < len(cached) else 0.0
    say("stage", text="generating")
    said = model.go_on(cache, ask, job.generate, time.perf_counter)
    expected = safetensors.torch.load_file("%s.%d" % (job.result, len(prefix)))["logits"]
    measured.extend(store.restore(cached, memory) for _ in range(job.runs - 1))
    return {"cached": len(cached), **first, "used": used, "restore_all_s": [each["restore_s"] for each in measured],
            "recompute_s": recompute_s, "store_again_s": stored_s, "positions": said.logits.shape[0],
            "vocabulary": said.logits.shape[1], "identical": torch.equal(said.logits, expected), "text": said.text,
            "generated": said.tokens, "first_token_s": first["restore_s"] + recompute_s + said.first_s}


if __name__ == "__main__":
    sys.exit(main())
