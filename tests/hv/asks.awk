# SPDX-License-Identifier: MIT
# vmm_asks.tbl -> vmm_asks.h: {ASK_KIND, "NAME", number, "who", argument} lines.
BEGIN { print "/* Generated from tests/hv/vmm_asks.tbl. */" }
/^#/ || NF == 0 { next }
NF < 4 || $1 !~ /^(cap|sys|vm|vcpu)$/ || $4 !~ /^[QCFHKqcfhk]+$/ {
    print "vmm_asks.tbl:" NR ": not a line of the table: " $0 > "/dev/stderr"
    exit 1
}
{ print "{ASK_" toupper($1) ", \"" $2 "\", " $3 ", \"" $4 "\", " (NF > 4 ? $5 : 0) "}," }
