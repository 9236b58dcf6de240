/* SPDX-License-Identifier: Apache-2.0 */
/* parameters.cpp - see parameters.h. */
#include "parameters.h"

#include <algorithm>
#include <cstdlib>

namespace docaDmaProxy
{

namespace
{

constexpr uint64_t timeoutMsMax = UINT64_C(365) * 24 * 3600 * 1000; /* a year */

struct Parameter {
    const char *name;
    const char *environment;
    const char *otherwise;
};

constexpr Parameter dpuAddr = {"dpu_addr", "BLUECACHE_DPU_ADDR", "127.0.0.1:18517"};
constexpr Parameter pciAddr = {"pci_addr", "BLUECACHE_PCI_ADDR", ""};
constexpr Parameter mode = {"mode", "BLUECACHE_MODE", "tcp"};
constexpr Parameter timeoutMs = {"timeout_ms", "BLUECACHE_TIMEOUT_MS", "30000"};
constexpr Parameter awayMs = {"away_ms", "BLUECACHE_AWAY_MS", ""}; /* empty: timeout_ms */
constexpr const Parameter *table[] = {&dpuAddr, &pciAddr, &mode, &timeoutMs, &awayMs};

std::string
fromEnvironment(const Parameter &parameter)
{
    const char *value = getenv(parameter.environment);

    return value == nullptr || value[0] == '\0' ? parameter.otherwise : value;
}

std::string
lookUp(const nixl_b_params_t &given, const Parameter &parameter)
{
    const auto found = given.find(parameter.name);

    return found == given.end() || found->second.empty() ? fromEnvironment(parameter)
                                                         : found->second;
}

bool
isKnown(const std::string &name)
{
    for (const Parameter *parameter : table) {
        if (name == parameter->name) {
            return true;
        }
    }
    return false;
}

bool
parseMilliseconds(const std::string &text, uint64_t least, uint64_t &value)
{
    uint64_t sum = 0;

    for (const char digit : text) {
        if (digit < '0' || digit > '9' || sum > timeoutMsMax) {
            return false;
        }
        sum = sum * 10 + static_cast<uint64_t>(digit - '0');
    }
    if (text.empty() || sum < least || sum > timeoutMsMax) {
        return false;
    }
    value = sum;
    return true;
}

} // namespace

bool
parseParameters(const nixl_b_params_t &given, Parameters &parameters, std::string &problem)
{
    for (const auto &[name, value] : given) {
        if (!isKnown(name)) {
            problem = "unknown parameter '" + name +
                      "'; known are dpu_addr, pci_addr, mode, timeout_ms and away_ms";
            return false;
        }
        if (value.find('\0') != std::string::npos) {
            problem = "the value of parameter '" + name + "' holds a NUL byte";
            return false;
        }
    }
    const std::string timeout = lookUp(given, timeoutMs);
    const std::string away = lookUp(given, awayMs);

    if (!parseMilliseconds(timeout, 1, parameters.timeoutMs)) {
        problem = "timeout_ms is '" + timeout +
                  "'; it must be a whole number of milliseconds from " + "1 to " +
                  std::to_string(timeoutMsMax) + " (BLUECACHE_TIMEOUT_MS)";
        return false;
    }
    if (!parseMilliseconds(away.empty() ? timeout : away, 0, parameters.awayMs)) {
        problem = "away_ms is '" + away +
                  "'; it must be a whole number of milliseconds from 0 to " +
                  std::to_string(timeoutMsMax) + " (BLUECACHE_AWAY_MS)";
        return false;
    }
    parameters.awayMs = std::min(parameters.awayMs, parameters.timeoutMs);
    parameters.dpuAddr = lookUp(given, dpuAddr);
    parameters.pciAddr = lookUp(given, pciAddr);
    parameters.mode = lookUp(given, mode);
    return true;
}

nixl_b_params_t
effectiveDefaults()
{
    nixl_b_params_t defaults;

    for (const Parameter *parameter : table) {
        defaults[parameter->name] = fromEnvironment(*parameter);
    }
    if (defaults[awayMs.name].empty()) {
        defaults[awayMs.name] = defaults[timeoutMs.name];
    }
    return defaults;
}

} // namespace docaDmaProxy
