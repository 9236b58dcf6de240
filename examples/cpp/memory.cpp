/* SPDX-License-Identifier: Apache-2.0 */
/* memory.cpp - see memory.hpp. The few calls of CUDA's driver are declared here, as its manual describes them. */
#include "memory.hpp"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <stdexcept>

namespace
{

constexpr size_t pageSize = 4096;

class HostMemory : public Memory
{
  public:
    explicit HostMemory(size_t length)
        : length_(length),
          bytes_(std::aligned_alloc(pageSize, (length + pageSize - 1) / pageSize * pageSize),
                 &std::free)
    {
        if (!bytes_) {
            throw std::runtime_error("out of memory");
        }
    }

    uintptr_t address() const override
    {
        return reinterpret_cast<uintptr_t>(bytes_.get());
    }

    uint64_t device() const override
    {
        return 0;
    }

    bool onGpu() const override
    {
        return false;
    }

    void store(const std::vector<uint8_t> &bytes) override
    {
        std::memcpy(bytes_.get(), bytes.data(), length_);
    }

    std::vector<uint8_t> load() const override
    {
        const auto *first = static_cast<const uint8_t *>(bytes_.get());

        return {first, first + length_};
    }

  private:
    size_t length_;
    std::unique_ptr<void, decltype(&std::free)> bytes_;
};

/* CUDA's driver, or the reason why there is none. */
class Driver
{
  public:
    using Device = int;
    using Context = void *;
    using Pointer = unsigned long long;

    Driver()
    {
        void *library = dlopen("libcuda.so.1", RTLD_NOW);

        if (library == nullptr || !find(library, "cuInit", init) ||
            !find(library, "cuDeviceGetCount", deviceGetCount) ||
            !find(library, "cuDeviceGet", deviceGet) ||
            !find(library, "cuDevicePrimaryCtxRetain", primaryContextRetain) ||
            !find(library, "cuDevicePrimaryCtxRelease_v2", primaryContextRelease) ||
            !find(library, "cuCtxSetCurrent", contextSetCurrent) ||
            !find(library, "cuMemAlloc_v2", memAlloc) || !find(library, "cuMemFree_v2", memFree) ||
            !find(library, "cuMemcpyHtoD_v2", copyToDevice) ||
            !find(library, "cuMemcpyDtoH_v2", copyToHost)) {
            problem = "there is no CUDA driver (libcuda.so.1)";
        } else if (init(0) != 0 || deviceGetCount(&devices) != 0 || devices == 0) {
            problem = "CUDA's driver finds no GPU";
        }
    }

    std::string problem;
    int devices = 0;
    int (*init)(unsigned int) = nullptr;
    int (*deviceGetCount)(int *) = nullptr;
    int (*deviceGet)(Device *, int) = nullptr;
    int (*primaryContextRetain)(Context *, Device) = nullptr;
    int (*primaryContextRelease)(Device) = nullptr;
    int (*contextSetCurrent)(Context) = nullptr;
    int (*memAlloc)(Pointer *, size_t) = nullptr;
    int (*memFree)(Pointer) = nullptr;
    int (*copyToDevice)(Pointer, const void *, size_t) = nullptr;
    int (*copyToHost)(void *, Pointer, size_t) = nullptr;

  private:
    template <class Function> static bool find(void *library, const char *name, Function &function)
    {
        function = reinterpret_cast<Function>(dlsym(library, name));
        return function != nullptr;
    }
};

class GpuMemory : public Memory
{
  public:
    GpuMemory(std::shared_ptr<Driver> driver, int number, size_t length)
        : driver_(std::move(driver)), number_(number), length_(length)
    {
        Driver::Context context = nullptr;

        check(driver_->deviceGet(&device_, number), "finding the GPU");
        check(driver_->primaryContextRetain(&context, device_), "making a context");
        if (driver_->contextSetCurrent(context) != 0 || driver_->memAlloc(&pointer_, length) != 0) {
            driver_->primaryContextRelease(device_);
            throw std::runtime_error("GPU " + std::to_string(number) + " has no memory for this");
        }
    }

    ~GpuMemory() override
    {
        driver_->memFree(pointer_);
        driver_->primaryContextRelease(device_);
    }

    GpuMemory(const GpuMemory &) = delete;
    GpuMemory &operator=(const GpuMemory &) = delete;

    uintptr_t address() const override
    {
        return static_cast<uintptr_t>(pointer_);
    }

    uint64_t device() const override
    {
        return static_cast<uint64_t>(number_);
    }

    bool onGpu() const override
    {
        return true;
    }

    void store(const std::vector<uint8_t> &bytes) override
    {
        check(driver_->copyToDevice(pointer_, bytes.data(), length_), "copying to the GPU");
    }

    std::vector<uint8_t> load() const override
    {
        std::vector<uint8_t> bytes(length_);

        check(driver_->copyToHost(bytes.data(), pointer_, length_), "copying from the GPU");
        return bytes;
    }

  private:
    void check(int result, const char *what) const
    {
        if (result != 0) {
            throw std::runtime_error(std::string(what) + " failed: CUDA error " +
                                     std::to_string(result));
        }
    }

    std::shared_ptr<Driver> driver_;
    int number_;
    size_t length_;
    Driver::Device device_ = 0;
    Driver::Pointer pointer_ = 0;
};

} // namespace

std::unique_ptr<Memory> makeMemory(const std::string &where, size_t length)
{
    if (where == "cpu") {
        return std::make_unique<HostMemory>(length);
    }
    auto driver = std::make_shared<Driver>();
    if (!driver->problem.empty()) {
        if (where == "auto") {
            return std::make_unique<HostMemory>(length);
        }
        throw std::runtime_error(driver->problem);
    }
    int number = where == "auto" ? 0 : std::stoi(where);
    if (number >= driver->devices) {
        throw std::runtime_error("there is no GPU " + where);
    }
    return std::make_unique<GpuMemory>(driver, number, length);
}
