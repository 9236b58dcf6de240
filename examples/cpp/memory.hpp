/* SPDX-License-Identifier: Apache-2.0 */
/* memory.hpp - the buffer that the example moves: memory of this process, or of a GPU. CUDA's driver is looked for at
 * run time, so that neither the build nor a machine without a GPU needs any of CUDA. Thread: one. */
#ifndef BC_EXAMPLE_MEMORY_HPP
#define BC_EXAMPLE_MEMORY_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

class Memory
{
  public:
    virtual ~Memory() = default;

    /* What NIXL is told of it: where it is, and whose (the number of the GPU, else 0). */
    virtual uintptr_t address() const = 0;
    virtual uint64_t device() const = 0;
    virtual bool onGpu() const = 0;

    /* Throw std::runtime_error where the GPU refuses. */
    virtual void store(const std::vector<uint8_t> &bytes) = 0;
    virtual std::vector<uint8_t> load() const = 0;
};

/* where: "cpu", the number of a GPU, or "auto": GPU 0 where there is one, else the memory of this process. Throws
 * std::runtime_error with a sentence. */
std::unique_ptr<Memory> makeMemory(const std::string &where, size_t length);

#endif
