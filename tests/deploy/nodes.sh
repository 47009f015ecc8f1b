#!/usr/bin/env bash
# Docker hosts for a test: N engines, each in network, mount and UTS namespaces
# of its own, on one bridge inside of a further network namespace, the fabric.
# There is no way out of it. Everything ends when standard input does.
#
#   DIR=SCRATCH tests/deploy/nodes.sh N
#
# Node I listens on $DIR/nI/docker.sock and has the address 10.54.0.I; the
# fabric has 10.54.0.254. $DIR/nI/netns and $DIR/fabric hold the paths of the
# network namespaces, for `nsenter --net=PATH` (`ip netns exec` would hide the
# control groups); $DIR/nI/etc-docker is the engine's /etc/docker.
set -eu

count=${1:?usage: DIR=SCRATCH nodes.sh N}
: "${DIR:?a scratch directory}"
network=10.54.0
# Network namespaces are named for the whole machine, and tests run side by side.
prefix=wharf-$$
fabric=$prefix-fabric
engines=()

finish() {
    trap - EXIT
    for pid in ${engines[@]+"${engines[@]}"}; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    for i in $(seq "$count"); do
        ip netns del "$prefix-$i" 2>/dev/null || true
    done
    ip netns del "$fabric" 2>/dev/null || true
    rm -rf "$DIR"
}
trap finish EXIT
trap 'exit 1' INT TERM

ip netns add "$fabric"
ip -n "$fabric" link set lo up
ip -n "$fabric" link add br0 type bridge
ip -n "$fabric" addr add "$network.254/24" dev br0
ip -n "$fabric" link set br0 up
echo "/run/netns/$fabric" >"$DIR/fabric"
mkdir -p /run/docker /etc/docker

for i in $(seq "$count"); do
    node=$prefix-$i
    home=$DIR/n$i
    mkdir -p "$home/etc-docker/certs.d"
    ip netns add "$node"
    ip -n "$node" link set lo up
    # Both ends are made inside, so that the machine's own links stay untouched.
    ip -n "$node" link add eth0 type veth peer name "v$i" netns "$fabric"
    ip -n "$node" addr add "$network.$i/24" dev eth0
    ip -n "$node" link set eth0 up
    ip -n "$node" route add default via "$network.254"
    ip -n "$fabric" link set "v$i" master br0 up
    # A name server that refuses at once: with one that is out of reach each look
    # for an image waits 20 s.
    echo 'nameserver 127.0.0.1' >"$home/resolv.conf"
    echo '127.0.0.1 localhost' >"$home/hosts"
    HOME_OF_NODE=$home nsenter --net="/run/netns/$node" unshare --uts --mount --propagation private bash -c '
        hostname "node'"$i"'"
        mount -t tmpfs tmpfs /run/docker
        mount --bind "$HOME_OF_NODE/resolv.conf" /etc/resolv.conf
        mount --bind "$HOME_OF_NODE/hosts" /etc/hosts
        mount --bind "$HOME_OF_NODE/etc-docker" /etc/docker
        exec dockerd --data-root "$HOME_OF_NODE/data" --exec-root "$HOME_OF_NODE/exec" \
            --pidfile "$HOME_OF_NODE/pid" -H "unix://$HOME_OF_NODE/docker.sock" --shutdown-timeout 2
    ' </dev/null >"$home/log" 2>&1 &
    engines+=($!)
    echo "/run/netns/$node" >"$home/netns"
done

cat >/dev/null
