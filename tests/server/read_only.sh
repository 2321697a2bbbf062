# shellcheck shell=sh
# What a container of deploy/container/ gives a process, without an engine; run by test_read_only.py in new
# mount and PID namespaces: read_only.sh ROOT WRITABLE COMMAND ...
# Everything is mounted read-only but ROOT/.run and WRITABLE, which stands for /tmp. The user is a
# number without an account. In an image everybody may read everything, which on other machines
# takes the one capability that is left.
set -eu
root=$1
writable=$2
shift 2
mount -t proc proc /proc
for folder in "$root/.run" "$writable"; do
    mount -t tmpfs -o uid=10001,gid=10001,mode=0700 tmpfs "$folder"
done
for mounted in / /dev/shm; do
    mount -o remount,bind,ro "$mounted"
done
for file in "$root/written" "$writable/../written"; do
    if touch "$file" 2>/dev/null; then
        echo "$file could be written" >&2
        exit 1
    fi
done
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs \
    --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search \
    --bounding-set=-all,+dac_read_search -- "$@"
