/* SPDX-License-Identifier: MIT
 *
 * The console's command dispatcher and the panic shell. A command registers itself with
 * CONSOLE_CMD; after a panic only those marked safe run.
 */
#include "debug/debug_priv.h"

#include "lib/atomic.h"
#include "lib/string.h"

#define ARGS_MAX 16

TABLE_DECLARE(struct console_cmd, console_cmds);

static int console_split(char *line, char **argv)
{
    int argc = 0;

    while (argc < ARGS_MAX - 1) {
        while (*line == ' ' || *line == '\t')
            line++;
        if (!*line)
            break;
        argv[argc++] = line;
        while (*line && *line != ' ' && *line != '\t')
            line++;
        if (*line)
            *line++ = '\0';
    }
    argv[argc] = NULL;
    return argc;
}

int console_run(char *line, emit_fn emit)
{
    char *argv[ARGS_MAX];
    int argc = console_split(line, argv);
    const struct console_cmd *cmd;

    if (argc == 0)
        return 0;
    TABLE_FOR_EACH(cmd, console_cmds)
    {
        if (strcmp(cmd->name, argv[0]) != 0)
            continue;
        if (debug_panicking() && !cmd->safe_in_panic) {
            emit("%s: not after a panic\n", argv[0]);
            return 1;
        }
        return cmd->run(argc, argv, emit);
    }
    emit("%s: unknown; see `help`\n", argv[0]);
    return 127;
}

static void shell_read(char *line, size_t size)
{
    size_t n = 0;

    for (;;) {
        int c = debug_port_read_nowait();

        if (c < 0) {
            cpu_relax();
        } else if (c == '\r' || c == '\n') {
            break;
        } else if ((c == 8 || c == 127) && n > 0) {
            n--;
            debug_port_write("\b \b", 3);
        } else if (c >= ' ' && c < 127 && n + 1 < size) {
            line[n++] = (char)c;
            debug_port_write(&line[n - 1], 1);
        }
    }
    line[n] = '\0';
    debug_port_write("\r\n", 2);
}

void panic_shell(void)
{
    static char line[128];

    log_emit_raw("`help` lists what still works; `reboot`, `poweroff`\n");
    for (;;) {
        log_emit_raw("panic> ");
        shell_read(line, sizeof(line));
        console_run(line, log_emit_raw);
    }
}

static int cmd_help(int argc, char **argv, emit_fn emit)
{
    const struct console_cmd *cmd;

    TABLE_FOR_EACH(cmd, console_cmds)
    {
        if (!debug_panicking() || cmd->safe_in_panic)
            emit("%-12s %s\n", cmd->name, cmd->help);
    }
    return 0;
}
CONSOLE_CMD(help)
= {"help", "this list", cmd_help, true};
