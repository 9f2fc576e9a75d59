/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

/*
 * Subcommands: each takes its own name as argv[0]. Exit status: 0 all checked out, 1 not,
 * 2 the arguments are wrong.
 */
int command_demo(int argc, char **argv);
int command_probe(int argc, char **argv);
int command_replay(int argc, char **argv);

#endif
