# SPDX-License-Identifier: MIT
# syscalls.tbl -> syscall_table.h: declarations, then SYSCALL(nr, name, "args", handler) lines.
# A handler's parameters have the types that the letters name: a handler cannot test more of an argument than it uses.
BEGIN {
    print "/* Generated from kernel/linux/syscalls.tbl. */"
    type["f"] = type["d"] = "s32"
    type["u"] = type["x"] = type["o"] = "u32"
    type["l"] = "s64"
    type["n"] = type["X"] = type["p"] = type["s"] = "u64"
}
/^#/ || NF < 2 { next }
{
    n++
    nr[n] = $1; name[n] = $2; args[n] = ($3 == "-") ? "" : $3; has[n] = (NF > 2)
    if (NF > 2) {
        params = (args[n] == "") ? "void" : ""
        for (i = 1; i <= length(args[n]); i++) {
            letter = substr(args[n], i, 1)
            if (!(letter in type)) {
                print "syscalls.tbl: " $2 ": no letter " letter > "/dev/stderr"
                exit 1
            }
            params = params (i > 1 ? ", " : "") type[letter]
        }
        print "s64 sys_" $2 "(" params ");"
    }
    if ($1 + 0 > max) max = $1 + 0
}
END {
    print "#define SYSCALL_MAX " max
    print "#define SYSCALL_LIST(IMPLEMENTED, MISSING) \\"
    for (i = 1; i <= n; i++)
        print "    " (has[i] ? "IMPLEMENTED" : "MISSING") "(" nr[i] ", " name[i] ", \"" args[i] "\") \\"
    print ""
}
