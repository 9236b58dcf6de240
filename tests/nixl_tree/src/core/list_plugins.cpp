/* SPDX-License-Identifier: Apache-2.0 */
/* list_plugins.cpp - prints the plugins that are linked into the library. */
void registerBuiltinPlugins();

int main()
{
    registerBuiltinPlugins();
    return 0;
}
