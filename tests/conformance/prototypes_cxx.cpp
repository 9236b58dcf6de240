// SPDX-License-Identifier: Apache-2.0
// prototypes_cxx.cpp - the same of C++.
#include "prototypes.c"
