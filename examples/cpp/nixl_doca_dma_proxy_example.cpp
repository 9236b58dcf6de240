/* SPDX-License-Identifier: Apache-2.0 */
/* nixl_doca_dma_proxy_example.cpp - an ordinary NIXL program in C++: registers a buffer and an object, moves bytes between
 * them through the backend DOCA_DMA_PROXY, and compares what came back. README.md beside it has commands to copy.
 *
 * Exit status: 0 done, 1 no such object or wrong bytes, 2 usage, 3 no plugin, no agent or no memory to work with. */
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <getopt.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <nixl.h>

#include "memory.hpp"

namespace
{

constexpr const char *backendName = "DOCA_DMA_PROXY";
constexpr const char *agentName = "example";
constexpr uint64_t objectNumber =
    1; // NIXL tells objects apart by it; any will do while there is only one
constexpr size_t mib = size_t{1} << 20;
constexpr size_t sizeMaxMib = 1024;

constexpr int exitMiss = 1;
constexpr int exitUsage = 2;
constexpr int exitNoAgent = 3;

/* What went wrong, in a sentence, and the exit status that goes with it. */
struct Problem : std::runtime_error {
    Problem(int exitStatus, const std::string &text) : std::runtime_error(text), status(exitStatus)
    {
    }

    int status;
};

struct Options {
    std::string operation;
    std::string object;
    std::string pci;
    std::string dpu = "127.0.0.1";
    std::string mode = "tcp";
    std::string gpu = "auto";
    size_t length = 64 * mib;
    std::chrono::seconds timeout{120};
};

const char *const usageText =
    "usage: nixl_doca_dma_proxy_example -o push|pull|verify -f OBJECT [option...]\n"
    "\n"
    "  -o OPERATION  push: store a pattern; pull: bring it back and compare; verify: both, in one process\n"
    "  -f OBJECT     the object's key\n"
    "  -s MB         how much, in units of 1,048,576 bytes, 1 to 1024 (default: 64)\n"
    "  -g GPU        number of the GPU whose memory is used, cpu, or auto: GPU 0 where CUDA is there (default)\n"
    "  -d DPU        where the agent listens, HOST[:PORT] (default: 127.0.0.1)\n"
    "  -p PCI        the BlueField's PCI function on this host (default: the only one)\n"
    "  -m MODE       how control messages travel, tcp or comch (default: tcp)\n"
    "  -t SECONDS    give up after this long (default: 120)\n";

unsigned long number(const char *text, unsigned long max, const char *option)
{
    char *end = nullptr;
    unsigned long value = std::strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || value < 1 || value > max) {
        throw Problem(exitUsage,
                      std::string(option) + " takes a number from 1 to " + std::to_string(max));
    }
    return value;
}

bool isGpu(const std::string &text)
{
    return text == "auto" || text == "cpu" ||
           (!text.empty() && text.size() < 4 &&
            text.find_first_not_of("0123456789") == std::string::npos);
}

Options parseOptions(int argc, char **argv)
{
    Options options;
    int option;

    while ((option = getopt(argc, argv, "o:f:s:g:d:p:m:t:h")) != -1) {
        switch (option) {
        case 'o':
            options.operation = optarg;
            break;
        case 'f':
            options.object = optarg;
            break;
        case 's':
            options.length = number(optarg, sizeMaxMib, "-s") * mib;
            break;
        case 'g':
            options.gpu = optarg;
            break;
        case 'd':
            options.dpu = optarg;
            break;
        case 'p':
            options.pci = optarg;
            break;
        case 'm':
            options.mode = optarg;
            break;
        case 't':
            options.timeout = std::chrono::seconds(number(optarg, 86400, "-t"));
            break;
        case 'h':
            std::fputs(usageText, stdout);
            std::exit(0);
        default:
            throw Problem(exitUsage, usageText);
        }
    }
    if (optind != argc || options.object.empty() ||
        (options.operation != "push" && options.operation != "pull" &&
         options.operation != "verify")) {
        throw Problem(exitUsage, usageText);
    }
    if (!isGpu(options.gpu)) {
        throw Problem(exitUsage, "-g takes the number of a GPU, cpu or auto");
    }
    return options;
}

/* Bytes that look random and are the same for the same key, whoever makes them. */
std::vector<uint8_t> pattern(const std::string &key, size_t length)
{
    std::vector<uint8_t> bytes(length);
    uint64_t state = 0xcbf29ce484222325;

    for (unsigned char c : key) {
        state = (state ^ c) * 0x100000001b3;
    }
    for (size_t i = 0; i < length; i += 8) {
        state += 0x9e3779b97f4a7c15;
        uint64_t word = (state ^ state >> 30) * 0xbf58476d1ce4e5b9;
        word = (word ^ word >> 27) * 0x94d049bb133111eb;
        word ^= word >> 31;
        for (size_t k = 0; k < 8 && i + k < length; k++) {
            bytes[i + k] = static_cast<uint8_t>(word >> 8 * k);
        }
    }
    return bytes;
}

/* A NIXL agent with the backend, a buffer and an object. */
class Example
{
  public:
    Example(const Options &options)
        : options_(options), memory_(makeMemory(options.gpu, options.length)),
          agent_(agentName, nixlAgentConfig())
    {
        createBackend();
        registerAll();
    }

    ~Example()
    {
        agent_.deregisterMem(buffer_, &arguments_);
        agent_.deregisterMem(object_, &arguments_);
    }

    Example(const Example &) = delete;
    Example &operator=(const Example &) = delete;

    Memory &memory()
    {
        return *memory_;
    }

    /* Moves all bytes; returns the seconds that it took. */
    double transfer(nixl_xfer_op_t operation)
    {
        nixlXferReqH *request = nullptr;
        nixl_status_t status = agent_.createXferReq(operation, buffer_.trim(), object_.trim(),
                                                    agentName, request, &arguments_);

        if (status != NIXL_SUCCESS) {
            throw Problem(exitNoAgent,
                          "the transfer cannot be made: status " + std::to_string(status));
        }
        auto start = std::chrono::steady_clock::now();
        status = agent_.postXferReq(request);
        while (status == NIXL_IN_PROG) {
            if (std::chrono::steady_clock::now() - start > options_.timeout) {
                /* The memory may still be in use: only the end of the process frees it safely. */
                std::fprintf(stderr, "error: the transfer is not done after %lld s\n",
                             static_cast<long long>(options_.timeout.count()));
                std::_Exit(exitNoAgent);
            }
            std::this_thread::sleep_for(std::chrono::microseconds(20));
            status = agent_.getXferStatus(request);
        }
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        agent_.releaseXferReq(request);
        if (status == NIXL_ERR_NOT_FOUND) {
            throw Problem(exitMiss, "there is no object " + options_.object);
        }
        if (status != NIXL_SUCCESS) {
            throw Problem(exitNoAgent, "the transfer failed: status " + std::to_string(status));
        }
        return took.count();
    }

  private:
    void createBackend()
    {
        std::vector<nixl_backend_t> plugins;
        nixl_b_params_t parameters = {
            {"dpu_addr", address()}, {"pci_addr", options_.pci}, {"mode", options_.mode}};
        nixlBackendH *backend = nullptr;

        agent_.getAvailPlugins(plugins);
        if (std::find(plugins.begin(), plugins.end(), backendName) == plugins.end()) {
            throw Problem(exitNoAgent, std::string("NIXL finds no plugin ") + backendName +
                                           ": NIXL_PLUGIN_DIR names the folder in which it looks");
        }
        if (agent_.createBackend(backendName, parameters, backend) != NIXL_SUCCESS) {
            throw Problem(exitNoAgent,
                          "no backend for the agent at " + options_.dpu + "; the log says more");
        }
        arguments_.backends.push_back(backend);
    }

    /* HOST with the agent's usual port; comch knows services in place of ports. */
    std::string address() const
    {
        if (options_.mode != "tcp" || options_.dpu.find(':') != std::string::npos) {
            return options_.dpu;
        }
        return options_.dpu + ":18517";
    }

    void registerAll()
    {
        buffer_.addDesc(nixlBlobDesc(memory_->address(), options_.length, memory_->device(), ""));
        object_.addDesc(nixlBlobDesc(0, options_.length, objectNumber, options_.object));
        if (agent_.registerMem(buffer_, &arguments_) != NIXL_SUCCESS) {
            throw Problem(exitNoAgent, "the buffer cannot be registered; the log says more");
        }
        if (agent_.registerMem(object_, &arguments_) != NIXL_SUCCESS) {
            agent_.deregisterMem(buffer_, &arguments_);
            throw Problem(exitNoAgent, "the object cannot be registered; the log says more");
        }
    }

    Options options_;
    std::unique_ptr<Memory> memory_; // before the agent: the backend is gone before the memory is
    nixlAgent agent_;
    nixl_opt_args_t arguments_;
    nixl_reg_dlist_t buffer_{memory_->onGpu() ? VRAM_SEG : DRAM_SEG};
    nixl_reg_dlist_t object_{OBJ_SEG};
};

void report(const char *what, size_t length, double seconds)
{
    std::printf("%s: %zu bytes in %.1f ms, %.2f GB/s\n", what, length, seconds * 1e3,
                static_cast<double>(length) / seconds / 1e9);
}

void run(const Options &options)
{
    Example example(options);
    const std::vector<uint8_t> expected = pattern(options.object, options.length);

    std::printf("buffer: %zu bytes of %s memory\n", options.length,
                example.memory().onGpu() ? "GPU" : "host");
    if (options.operation != "pull") {
        example.memory().store(expected);
        report("push", options.length, example.transfer(NIXL_WRITE));
    }
    if (options.operation != "push") {
        example.memory().store(std::vector<uint8_t>(options.length, 0xa5));
        report("pull", options.length, example.transfer(NIXL_READ));
        if (example.memory().load() != expected) {
            throw Problem(exitMiss,
                          "the object holds other bytes than a push of this example stores");
        }
        std::printf("verified: %zu bytes\n", options.length);
    }
}

} // namespace

int main(int argc, char **argv)
{
    try {
        run(parseOptions(argc, argv));
        return 0;
    } catch (const Problem &problem) {
        std::fprintf(stderr, "%s%s\n",
                     problem.status == exitUsage ? "" : "error: ", problem.what());
        return problem.status;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return exitNoAgent;
    }
}
