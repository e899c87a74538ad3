# A Docker daemon for one run. Source this; then `start_docker FOLDER`, and at the end `end_docker`, before FOLDER goes.

docker_answers() {
    timeout 10 docker version >/dev/null 2>&1
}

# All that the daemon keeps is in the folder, and its mounts are in a namespace of their own: they end with its processes.
# What it changes of the machine's network is noted, to be taken back: packet filters, bridges, forwarding.
start_docker() {
    docker_folder=$1
    mkdir -p "$docker_folder" || return
    iptables-save >"$docker_folder/filters" 2>"$docker_folder/log" || return
    ip -o link show type bridge >"$docker_folder/bridges" || return
    cat /proc/sys/net/ipv4/ip_forward >"$docker_folder/forwarding" || return
    export DOCKER_HOST=unix://$docker_folder/docker.sock
    setsid unshare --mount dockerd --host="$DOCKER_HOST" --data-root="$docker_folder/data" \
        --exec-root="$docker_folder/run" --pidfile="$docker_folder/pid" </dev/null >"$docker_folder/log" 2>&1 &
    docker_pid=$!
    for _ in $(seq 120); do
        docker_answers && return
        kill -0 "$docker_pid" 2>/dev/null || return
        sleep 0.5
    done
    return 1
}

# Its containers first, which would outlive it; then itself, by its pid; then what it did to the network.
end_docker() {
    [ -n "${docker_pid:-}" ] || return 0
    timeout 60 docker ps --all --quiet | xargs -r timeout 60 docker rm --force --volumes >/dev/null
    kill "$docker_pid" 2>/dev/null
    for _ in $(seq 60); do
        kill -0 "$docker_pid" 2>/dev/null || break
        sleep 0.5
    done
    kill -KILL "$docker_pid" 2>/dev/null
    for bridge in $(_new_bridges); do ip link delete "$bridge"; done
    cat "$docker_folder/forwarding" >/proc/sys/net/ipv4/ip_forward
    # What is restored replaces the tables that it names, so the two of Docker are named, whether there was anything or not.
    printf '*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n*nat\nCOMMIT\n' | cat - "$docker_folder/filters" | iptables-restore
    echo "The Docker daemon has ended. Left of it: $(_processes | wc -l) processes," \
        "$(grep -c "$docker_folder" /proc/mounts) mounts, $(_new_bridges | wc -w) bridges."
}

_new_bridges() {
    ip -o link show type bridge | cut -d: -f2 | while read -r bridge; do
        grep -q ": $bridge:" "$docker_folder/bridges" || echo "$bridge"
    done
}

# The folder stands in the command line of each: dockerd, containerd, shims.
_processes() {
    for process in /proc/[0-9]*; do
        [[ $(tr '\0' ' ' 2>/dev/null <"$process/cmdline") != *"$docker_folder/"* ]] || echo "${process#/proc/}"
    done 2>/dev/null
}
