# SPDX-License-Identifier: MIT
# Run by a static busybox on Linux and on Bothy; what it prints must be the same. "## NAME" begins a
# section, the unit of comparison. What differs by nature (numbers of processes, times, sizes of the
# machine) is checked or blotted out here, never in the comparison.
#   sh applets.sh FOLDER-OF-BUSYBOX-AND-ONPTY

files=$1
mkdir -p /tmp/b /tmp/w /bin
cp "$files/busybox" /tmp/b/busybox
/tmp/b/busybox --install -s /tmp/b
# Bothy's own programs are read-only; nothing here needs them.
[ -e /bin/sh ] || { /tmp/b/mount -t tmpfs bin /bin && ln -s /tmp/b/busybox /bin/sh; }
cp "$files/onpty" /tmp/b/
export PATH=/tmp/b HOME=/tmp/w TERM=vt100 LC_ALL=C TZ=UTC
unset ENV HISTFILE
cd /tmp/w || exit 1
mkdir -p /etc
[ -e /etc/passwd ] || echo 'root:x:0:0:root:/tmp/w:/bin/sh' >/etc/passwd
[ -e /etc/group ] || echo 'root:x:0:' >/etc/group
exec </dev/null 2>&1
umask 022

numbers() { sed 's/[0-9][0-9]*/N/g'; }
blot() { sed "s/[0-9][0-9.]*[KMG%]*/N/g; s/  */ /g"; }
# one line of sorted words
s() { sort | tr '\n' ' '; echo; }
# waits until a command succeeds
until_ok() { for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "$@" >/dev/null 2>&1 && return 0; usleep 100000; done; echo "in vain: $*"; return 1; }
# ends the job $p: whether the shell says so hangs on when it hears of it
end() { { kill $p; wait $p; } 2>/dev/null; }
# waits until the new process is that program, and sleeps
asleep() { until_ok grep -qx "$2" /proc/$1/comm; until_ok grep -q '^State:.S' /proc/$1/status; }

echo '## ash'
x=1; while [ $x -lt 5 ]; do x=$((x * 2 + 1)); done; echo $x ${x#?} "${HOME##*/}" "$(echo sub | tr a-z A-Z)"
f() { local y=$1; shift; echo "$y $# $*"; return 3; }; f a b 'c d'; echo $?
set -- one two three; shift; echo $# $1
cat <<EOF | while read -r a b; do echo "$b-$a"; done
1 x
2 y
EOF
trap 'echo trapped' USR1; kill -USR1 $$; echo after; trap - USR1
(exit 7); echo $?; true | false; echo $?; ! true; echo $?
echo {a,b}c [x-z] ~; echo * ; case abc in a*) echo glob;; esac
(sleep 30 & kill $!; wait $!; echo $?)
sh -c 'kill -9 $$'; echo $?
sh -c 'kill -SEGV $$'; echo $?
sh -c /nonexistent; echo $?; sh -c /tmp; echo $?; : >plain; sh -c ./plain; echo $?
ulimit -n; ulimit -f; ulimit -c; ulimit -Hn 512; ulimit -n 100; ulimit -n; ulimit -n 600
(ulimit -f 1; trap '' XFSZ; dd if=/dev/zero of=big bs=1024 count=4 2>&1 | head -1; wc -c <big)
(umask 077; : >private; stat -c %a private); umask -S
echo "$((1 << 40)) $((-7 / 2)) $((0x1f & 017))"; printf '%s|%5d|%-5s|%x\n' a 42 b 255
read a b <<EOF
first second third
EOF
echo "$a/$b"; eval 'echo e$a'; sh -ec 'false; echo no'; echo $?
exec 5>fd5; echo to5 >&5; exec 5>&-; cat fd5; exec 6<fd5; read l <&6; echo $l
times | numbers; type cd cat | sed 's,/.*,P,'; command -v sh; getopts ab: o -b val; echo $o $OPTARG

echo '## job control'
onpty sh -i <<'EOF'
type PS1='\\$\\ ';echo rea''dy\n
see ready
see $ 
type sleep 100\n
see sleep 100
type \x1a
see Stopped
see $ 
type jobs\n
see Stopped
see sleep 100
see $ 
type bg %1\n
see sleep 100
see $ 
type jobs\n
see Running
see $ 
type kill %1; wait %1; echo st''atus $?\n
see status 143
see $ 
type sleep 200 & sleep 300\n
see sleep 300
type \x1a
see Stopped
see $ 
type fg %1\n
see sleep 200
type \x03
see $ 
type fg\n
see sleep 300
type \x03
see $ 
type echo st''atus $?\n
see status 130
type cat | tr a-z A-Z\n
type hello\n
see HELLO
type \x04
see $ 
type stty size\n
see 24 80
size 30 90
type stty size\n
see 30 90
type (sleep 1; echo late) | cat; echo fore''ground\n
see late
see foreground
type exit 5\n
EOF
echo "status $?"

echo '## vi'
printf 'one\ntwo\nthree\n' >vi.txt
onpty vi vi.txt <<'EOF'
see three
type ddp
type Gonew line\e
type :2,2s/one/ONE/\n
see ONE
type ggyyP
type /new\n
type A!\e
see new line!
type :wq\n
EOF
echo "status $?"; cat vi.txt

echo '## ed'
printf 'a\nfirst\nsecond\n.\n1s/first/FIRST/\n1,2p\nw ed.txt\nq\n' | ed; cat ed.txt

echo '## coreutils'
printf 'b 2\na 10\nc 1\na 9\n' >s.txt
sort s.txt; sort -k2n s.txt; sort -u -k1,1 s.txt; sort -r s.txt | head -2; sort -c s.txt; echo $?
seq 1 20000 | shuf | sort -n | md5sum; seq 5 | tac | paste -s -d,; seq 1 3 10; yes | head -3 | uniq -c | blot
cut -d' ' -f2 s.txt; tr -d 0-9 <s.txt; wc s.txt; wc -L s.txt; head -c 3 s.txt; tail -n +3 s.txt; tail -c 4 s.txt
nl s.txt; od -c s.txt | head -2; od -An -tx1 -N4 s.txt; hexdump -C s.txt; xxd s.txt | head -1; fold -w 3 s.txt | head -3
printf 'a\tb\n' | expand -t4; expr 3 + 4 \* 2; expr abc : 'a\(.\)'; basename /a/b.c .c; dirname /a/b/c; factor 360 97
comm 2>/dev/null; printf '1\n2\n' >c1; printf '2\n3\n' >c2; cmp c1 c2; diff c1 c2; diff -u c1 c2 | sed 's/\t.*//'; echo $?
diff -u c1 c2 >c.patch; cp c1 c3; patch c3 c.patch; cat c3; md5sum c1 c2; sha1sum c1; sha256sum c1; sha512sum c1 | cut -c1-20; cksum c1 2>/dev/null
echo hello | base64; echo aGVsbG8K | base64 -d; echo x | uuencode x | uudecode -o -; crc32 c1 2>/dev/null; strings /tmp/b/busybox | grep -c BusyBox | numbers
echo ab | tee t1 t2; cat t1 t2; cat -n t1; cat -A t1 2>/dev/null; rev t1; split -l 2 s.txt sp 2>/dev/null; ls sp* 2>/dev/null
dd if=s.txt bs=4 skip=1 count=2 2>/dev/null; echo; dd if=/dev/zero of=d bs=1k seek=3 count=1 conv=notrunc 2>&1 | head -2; stat -c '%s %b' d
truncate -s 100 d; wc -c <d; truncate -s +28 d; wc -c <d; fallocate -l 4096 d; wc -c <d
env -i A=1 B=2 env; env -u HOME sh -c 'echo "[$HOME]"'; printenv A 2>/dev/null; true; test -f s.txt -a ! -d s.txt; echo $?; [ 3 -gt 2 ]; echo $?
date -u -d @0; date -u -d '2024-02-29 12:34:56' +%s; date -u -d @1700000000 '+%F %T %j %a'; cal 2 2024; which sh sort
mktemp -d tmp.XXXXXX | sed 's/\..*/.X/'; mktemp -u | sed 's/\..*/.X/'; sync; echo $?; nproc | numbers; hostid | wc -c; tty; echo $?
id; id -u; whoami; groups; uname -s -m; arch; pwd; pwd -P; sleep 0.01; usleep 10; echo done; sum s.txt 2>/dev/null; yes | head -c 100000 | wc -c

echo '## awk sed grep'
awk '{ s[$1] += $2 } END { for (k in s) print k, s[k] | "sort" }' s.txt
awk 'BEGIN { printf "%.3f %s %d\n", 10 / 3, substr("hello", 2, 3), length("abc"); while (("echo sub" | getline l) > 0) print l; print ENVIRON["HOME"]; exit 4 }'; echo $?
sed -n '2,3p; s/a/X/gp' s.txt; sed -i.bak 's/^a/Z/' s.txt; cat s.txt s.txt.bak; sed 'y/abc/ABC/; $!N; P; D' s.txt; sed '/b/,/c/d' s.txt.bak
grep -n a s.txt.bak; grep -c Z s.txt; grep -v Z s.txt; grep -rl ONE . | sort; grep -E '^(a|b) [0-9]+$' s.txt.bak; grep -q nothing s.txt; echo $?; egrep -o '[0-9]+' s.txt; fgrep '1' s.txt; grep -A1 -B1 c s.txt.bak; grep x /nonexistent; echo $?

echo '## files'
mkdir -p d1/d2/d3 d1/e; echo data >d1/f; ln d1/f d1/g; ln -s f d1/sl; ln -s /nowhere d1/broken; mkfifo d1/fifo; mknod d1/null c 1 3
ls d1; ls -l d1 | sed '1d' | awk '{ print $1, $2, $3, $4, $NF }'; ls -a d1 | head -3; ls -F d1; ls -d d1; ls -i d1/f | awk '{ print NF }'; ls -R d1 | head; ls -1Sr d1/f s.txt
stat -c '%n %F %a %h %u %g %s %N' d1 d1/f d1/sl d1/fifo d1/null; stat -L -c %F d1/sl; stat -c '%t %T' d1/null; stat -f -c %T /tmp /proc | sed 's/UNKNOWN/X/'
readlink d1/sl; readlink -f d1/sl; realpath d1/../d1/e; readlink -f d1/broken; readlink d1/f; echo $?; link d1/f d1/h; unlink d1/h; echo $?
touch -d '2001-02-03 04:05:06' d1/f; stat -c %y d1/g; date -r d1/f +%F; touch -r d1/f d1/e; stat -c %Y d1/e; touch -t 202001020304.05 d1/f; stat -c %X d1/f; touch -h -d @5 d1/sl; stat -c %Y d1/sl
chmod 4751 d1/f; stat -c '%a %A' d1/f; chmod u-s,g+w,o= d1/f; stat -c %a d1/f; chmod -R go-rwx d1/d2; stat -c %a d1/d2/d3; chown 12:34 d1/f; stat -c '%u:%g' d1/g; chown -h 5 d1/sl; stat -c %u d1/sl; chgrp 7 d1/f; stat -c %g d1/f
cp -a d1 d4; ls -l d4 | sed 1d | awk '{ print $1, $2, $3, $4, $NF }'; cp d1/f d4/new; cp -r d1 d4/sub; cmp d1/f d4/sub/f 2>&1; mv d4/new d4/newer; ls d4; cp -p d1/f pf; stat -c '%u %a %Y' pf; cp -l d1/f hf; stat -c %h hf; cp -s d1/f yf 2>/dev/null; readlink yf
mv d4 d5; [ -d d5 ] && echo moved; mv d5/newer /tmp/newer; ls /tmp/newer; rm /tmp/newer; mv nothing x; mv d5 d5/e; rmdir d5; rm d5; rm -rf d5; [ -e d5 ]; echo $?
ln -sf e d1/sl; readlink d1/sl; ln d1/e x; ln -s a/b dangling; cat dangling; cat d1; sh -c 'cd nowhere'; mkdir d1; mkdir a/b/c; rmdir d1/e; ls d1/e; install -m 600 s.txt inst 2>/dev/null; true
: >d1/ro; chmod 444 d1/ro; setpriv --reuid 65534 --clear-groups sh -c 'echo x >>d1/ro; echo $?' 2>&1 | sed 's/.*: //'; setpriv --reuid=1000 --regid=1000 --clear-groups id; setpriv -d | head -3 | sed 's/,.*//'
du -s d1/e 2>/dev/null; du -a d1 2>/dev/null | wc -l; df /tmp | awk 'NR == 1 || $NF == "/tmp" { print $1, $NF }'; df -i /tmp | wc -l; df /proc 2>/dev/null | wc -l; dd if=/dev/zero of=sz bs=1M count=2 2>/dev/null; du -k sz; du -sh sz; rm sz

echo '## find'
mkdir -p fi/a/b fi/c; echo 12345 >fi/a/f1; : >fi/a/b/empty; ln -s a fi/lnk; mkfifo fi/pipe; chmod 700 fi/c; touch -d '2000-01-01' fi/a/f1; ln fi/a/f1 fi/hard
find fi | s; find fi -name 'f*' | s; find fi -iname 'F*' | s; find fi -path '*b*' | s; find fi -regex '.*e.*y' | s; find fi -type d | s; find fi -type l | s; find fi -type p | s; find fi -type f | s
find fi -perm 700 | s; find fi -perm -500 -type d | s; find fi -mtime +100 | s; find fi -mmin -5 -type f | s; find fi -newer fi/a/f1 -type f | s; find fi -size 0 | s; find fi -size -2 -type f | s; find fi -empty | s; find fi -links 2 -type f | s
find fi -inum "$(stat -c %i fi/hard)" | s; find fi -samefile fi/hard 2>/dev/null | s; find fi -user root -group root | wc -l; find fi -user 12 | wc -l; find fi -maxdepth 1 | s; find fi -mindepth 2 | s; find fi -depth | tail -1; find fi -prune | s; find fi -name a -prune -o -print | s
find fi -follow -type f | s; find -L fi -type f | s; find -H fi/lnk | s; find fi -xdev -type f | s; find fi -type f -exec wc -c {} \; | s; find fi -type f -exec echo {} + | wc -l; find fi -type f -print0 | xargs -0 ls | s; find fi ! -type d -a \( -name 'e*' -o -name 'p*' \) | s; find fi -executable 2>/dev/null | s
find fi -name empty -delete; find fi -name empty | wc -l; find nowhere; echo $?; find fi -name f1 -quit | s; find fi -type f -ok true \; </dev/null | wc -l; echo a b c | xargs -n1 echo; seq 10 | xargs -n 4; echo x | xargs -I{} echo '<{}>'; seq 1 5000 | xargs echo | wc -w; printf 'a\nb\n' | xargs -n1 -P2 echo | sort; false | xargs -r echo; echo 1 | xargs sh -c 'exit 255'; echo $?

echo '## archives'
mkdir ar; (cd ar; seq 1 3000 >n; ln -s n sl; ln n hl; mkfifo ff; mkdir dd; chmod 750 dd; touch -d @1000000000 n dd; : >e)
tar cf a.tar ar; tar tf a.tar | s; tar tvf a.tar | awk '{ print $1, $2, $NF }' | sed 's/ ar.n$/ N/; s/ ar.hl$/ N/' | s; mkdir x1; tar xf a.tar -C x1; ls -l x1/ar | sed 1d | awk '{ print $1, $2, $NF }'; stat -c '%Y %h' x1/ar/n; cmp ar/n x1/ar/n; tar czf a.tgz ar/n; tar xzf a.tgz -O ar/n | md5sum; tar cf - ar | tar tf - | wc -l; tar xf a.tar -C x1 ar/e; tar xf nothing.tar; echo $?
gzip -c ar/n >n.gz; gunzip -c n.gz | md5sum; zcat n.gz | cmp - ar/n; gzip -t n.gz; echo $?; cp ar/n n2; gzip n2; ls n2*; gunzip n2.gz; ls n2*; bzip2 -c n2 | bunzip2 -c | cmp - n2; head -c 20 n.gz >trunc.gz; gunzip -c trunc.gz >/dev/null; echo $?; xz -c n2 2>/dev/null | wc -c; lzop -c n2 2>/dev/null | lzop -dc 2>/dev/null | md5sum
(cd ar; find . | sort | cpio -o -H newc) >c.cpio; cpio -t <c.cpio; mkdir x2; (cd x2; cpio -id <../c.cpio; ls -l | sed 1d | awk '{ print $1, $2, $NF }'; cmp n ../ar/n); ar -t /nonexistent.a; mkdir u; echo 'no zip'; unzip c1; echo $?

echo '## processes'
sh -c 'echo $PPID' | grep -c "^$$\$"; ps | head -1; ps -o pid,ppid,comm,args | head -1; ps -o comm | grep -c '^ps$'; ps -o pid,ppid,pgid,tty,vsz,rss,stat,user,group,nice,time,etime,args | head -1
sleep 50 & p=$!; asleep $p sleep; ps -o pid,comm,args,stat,ppid | awk -v p=$p '$1 == p { print $2, $3, $4, $5 }'; pidof sleep | grep -c "\\b$p\\b"; kill -0 $p; echo $?; cat /proc/$p/comm; tr '\0' ' ' </proc/$p/cmdline; echo; readlink /proc/$p/cwd; readlink /proc/$p/exe | sed 's,.*/,,'; kill -STOP $p; until_ok grep -q '^State:.T' /proc/$p/status; grep ^State /proc/$p/status; kill -CONT $p; end; echo $?
(sleep 51 & asleep $! sleep; killall sleep; wait $!; echo $?) 2>/dev/null; kill -l | head -3; kill -l 9; kill 999999; echo $?; timeout 0.1 sleep 5; echo $?; timeout -s KILL 0.1 sleep 5; echo $?; timeout 5 true; echo $?; timeout 5 sh -c 'exit 3'; echo $?
sh -c "nohup sh -c 'echo nohup'"; cat nohup.out 2>/dev/null; sh -c 'trap "" HUP; kill -HUP $$; echo survived'; setsid sh -c 'ps -o pid,sid,pgid 2>/dev/null | head -1; cut -d" " -f1,5,6 /proc/$$/stat | awk "{ print (\$1 == \$2), (\$1 == \$3) }"'
sleep 52 & p=$!; renice -n 3 -p $p; cut -d' ' -f19 /proc/$p/stat; renice 10 $p; end
taskset -p $$ | sed 's/[0-9a-f]*$/M/; s/[0-9][0-9]*/N/'; taskset 1 sh -c 'grep Cpus_allowed_list /proc/self/status'; taskset 1 nproc; taskset -c 0 true; echo $?; ionice | sed 's/none/N/'; ionice -c 3 true; echo $?; chrt -p $$ 2>/dev/null | wc -l
(sleep 0.2; echo bg) & wait; echo waited; time -p true 2>&1 | sed 's/[0-9].*/N/'; time sh -c : 2>&1 | sed 's/[0-9].*//'; watch -n 1 true </dev/null >/dev/null 2>&1 & p=$!; end; start-stop-daemon -S -b -m -p sd.pid -x /tmp/b/sleep -- 60; until_ok test -s sd.pid; kill -0 $(cat sd.pid); echo $?; start-stop-daemon -K -p sd.pid | numbers; echo $?
top -b -n 1 | head -4 | sed 's/[0-9][0-9.]*[KMG%]*/N/g; s/ *N/ N/g' | sed 's/(.*)//' | cut -c1-20; top -b -n 1 | awk '$NF == "top" || /top -b/ { print "top sees itself" }' | head -1; uptime | sed 's/[0-9][0-9:.]*/N/g; s/  */ /g' | sed 's/up .*load/up load/'; free | awk '{ print $1, NF }'; free -m | head -1
sh -c 'sleep 100 & sleep 101 & jobs -p | wc -l; kill $(jobs -p); wait' 2>&1; exec 3<s.txt; ls -l /proc/self/fd 2>/dev/null | awk '/ 3 ->/ { print $NF }'; exec 3<&-; unshare -p -f sh -c 'echo $$'; unshare -u sh -c 'hostname inner; hostname'; hostname | grep -c inner; unshare -n true; echo $?
unshare -m sh -c 'mount -t tmpfs t d1/e 2>/dev/null || mkdir -p d1/e && mount -t tmpfs t d1/e; grep -c "d1/e" /proc/self/mounts'; grep -c d1/e /proc/mounts; unshare -r -U id -u 2>/dev/null; unshare -U id -u; unshare -pf --mount-proc=/proc sh -c 'ps -o pid,comm >ps.txt; grep -c sh ps.txt; ls /proc >ps.txt; grep -c "^[0-9]" ps.txt'; sleep 70 & p=$!; nsenter -t $p -u hostname >/dev/null; echo $?; nsenter -t $p -p -m true; echo $?; end 2>/dev/null
mkdir -p root/bin root/proc; cp /tmp/b/busybox root/bin/; chroot root /bin/busybox ls / ; chroot root /bin/busybox pwd; chroot root /nothing; echo $?; env -i /tmp/b/busybox sh -lc 'echo $PATH; echo $-' | sed 's/^/ /' | head -1 | wc -l; su root -c 'id -u' 2>/dev/null; linux32 uname -m

echo '## mounts'
mkdir -p m1 m2 lo up wo ov; mount -t tmpfs -o size=1m,mode=750 tm m1; echo $?; stat -c %a m1; df m1 | awk 'NR == 2 { print $1, $2, $6 }'; grep ' /tmp/w/m1 ' /proc/mounts | sed 's/,inode64//'; dd if=/dev/zero of=m1/big bs=64k count=32 2>&1 | grep -v records | sed 's/.*: //' | head -1; rm m1/big; echo hi >m1/f
mount -o bind m1 m2; cat m2/f; mount -o remount,ro,bind m2; sh -c 'echo x >m2/f'; echo $?; echo y >m1/f; cat m2/f; grep -c ' /tmp/w/m[12] ' /proc/mounts; cd m1; umount /tmp/w/m1; echo $?; cd ..; umount m2; umount m1; echo $?; ls m1; umount m1; echo $?
echo low >lo/a; echo low >lo/b; mkdir lo/d; echo x >lo/d/x; mount -t overlay -o lowerdir=lo,upperdir=up,workdir=wo ov ov; echo $?; ls ov; echo new >>ov/a; cat ov/a lo/a up/a; rm ov/b; ls ov; stat -c '%F %t %T' up/b; rm -r ov/d; mkdir ov/d; ls ov/d; mv ov/a ov/c; ls up; grep -c ' overlay ' /proc/mounts | grep -c '[1-9]'; umount ov; echo $?
mount -t nosuchfs x m1; echo $?; mount -t tmpfs x nowhere; echo $?; mount -t proc proc root/proc; chroot root /bin/busybox cat /proc/self/comm; umount root/proc; mountpoint m1 2>/dev/null; losetup -f 2>&1 | sed 's/[0-9]*$//' | wc -l; mount | grep -c '^proc on /proc type proc'; switch_root 2>&1 | head -1 | cut -c1-10; mount -t tmpfs -o nosuid,nodev,noexec t m1; cp /tmp/b/busybox m1/; sh -c 'm1/busybox true'; echo $?; umount m1; swapon -s 2>/dev/null | head -1; pivot_root . . ; echo $?

echo '## sockets and pipes'
sleep 2 | nc -l -p 7777 >net.txt & until_ok grep -q ':1E61 ' /proc/net/tcp /proc/net/tcp6; echo over-tcp | nc 127.0.0.1 7777; wait; cat net.txt; nc 127.0.0.1 7778; echo $?; mkfifo pfifo; cat pfifo >pf.txt & echo through >pfifo; wait; cat pf.txt; yes | head -1 >/dev/null; sh -c 'yes | true'; echo $?; seq 100000 | (sleep 0.1; wc -l); mkfifo q; (exec 3<>q; echo both >&3; read x <&3; echo $x)

echo '## terminals'
onpty stty -a <<'EOF' | tr -d '\r'
show
EOF
onpty sh -c 'stty -echo -icanon min 1; stty -a | grep -o -e "-icanon" -e "-echo " ; stty sane; stty 9600; stty speed; stty rows 10 cols 20; stty size; stty -g | tr -dc : | wc -c; tty | sed "s/[0-9]*$//"; test -t 0; echo $?' <<'EOF' | tr -d '\r'
show
EOF
onpty sh -c 'read x; echo "<$x>"; stty raw -echo; echo r; dd bs=1 count=3 2>/dev/null | od -An -tx1' <<'EOF' | tr -d '\r'
type abX\x7fc\x15final\n
see <final>
see r
type a\x03\x04
show
EOF
onpty sh -l <<'EOF' >/dev/null; echo "login shell $?"
see # 
type exit 3\n
EOF
onpty sh -c 'trap "echo hup; exit 4" HUP; trap "echo winch" WINCH; echo up; while :; do sleep 0.05; done' <<'EOF' | tr -d '\r'
see up
size 40 100
see winch
type \x1c
EOF
echo "status $?"; setsid sh -c 'echo x >/dev/tty'; echo $?; onpty less s.txt <<'EOF' >/dev/null; echo "less $?"
type q
EOF
onpty top <<'EOF' >/dev/null; echo "top $?"
see Mem
type q
EOF

echo '## system'
sysctl -n kernel.ostype; sysctl kernel.hostname | sed 's/=.*/=/'; sysctl -n vm.overcommit_memory kernel.pid_max | numbers; cat /proc/sys/kernel/random/uuid | tr -c '\n-' x; sysctl -n fs.file-max | numbers; sysctl nothing.here; echo $?; dmesg | grep -c . | sed 's/[1-9][0-9]*/some/'; hostname >/dev/null; echo $?; for f in auxv cgroup cmdline comm cwd environ exe fd fdinfo gid_map limits maps mountinfo mounts net ns oom_score oom_score_adj root setgroups smaps stat statm status task uid_map wchan; do [ -e /proc/self/$f ] || [ -L /proc/self/$f ] || echo no $f; done; cut -d' ' -f2 /proc/self/stat; awk '{ print NF }' /proc/self/stat /proc/self/statm /proc/loadavg /proc/uptime; cut -d: -f1 /proc/self/status | grep -v -e Speculation -e Hugetlb -e CoreDump -e THP -e Seccomp_filters
awk '{ print $1 }' /proc/stat | grep -v -e cpu -e softirq; awk '{ print $1 }' /proc/meminfo | head -12; awk -F: '{ print $1 }' /proc/cpuinfo | sed 's/[\t ]*$//' | grep -E '^(processor|vendor_id|model name|cpu MHz|siblings|core id|flags|bogomips|address sizes)$' | sort -u; head -1 /proc/self/maps | wc -w; ls /proc/self/task | wc -l; cat /proc/self/oom_score_adj; awk '{ print NF }' /proc/self/limits | head -3; head -c 0 /proc/self/environ; cat /proc/filesystems | grep -c tmpfs; ls -l /proc/self | awk '{ print NF }' | head -1; ls /proc/self/ns | s; ls /dev | grep -E '^(null|zero|full|random|urandom|tty|ptmx|pts|shm|console)$' | s
awk 'NR > 2 { print $1 }' /proc/net/dev | head -1; head -1 /proc/net/unix | wc -w; awk '/^ctxt/ { print ($2 > 100) } /^processes/ { print ($2 > 100) } /^btime/ { print ($2 > 1000000000) } /^procs_running/ { print ($2 >= 1) }' /proc/stat; awk '/^(Cached|AnonPages|Slab|Mapped|Shmem|Active):/ { print $1, ($2 > 0) }' /proc/meminfo
head -c 16 /dev/urandom | wc -c; head -c 5 /dev/zero | od -An -tx1; echo x >/dev/full; echo $?; echo x >/dev/null; cat /dev/null; dd if=/dev/random bs=8 count=1 2>/dev/null | wc -c; who
echo '## end'
