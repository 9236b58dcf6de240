# SPDX-License-Identifier: Apache-2.0
"""The version of this package; the library that it loads must have the same major and minor number."""

__version__ = "0.1.0"
