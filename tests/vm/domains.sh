#!/bin/bash
# Runs in the guest: the domain $NAME (default: mydom) in each container runtime.
#   domains.sh up [RUNTIME...]    define it where needed, start it, print "RUNTIME PID CGROUP" (default: every runtime;
#                                 on cgroup v1 not those of a user that would have no cgroup there)
#   domains.sh down [RUNTIME...]  stop it; its definition stays
#   domains.sh pid RUNTIME        the process id of its init; exit 1 when it is not running
# A runtime is its name in RUNTIMES and three functions: pid_R prints the process id of the domain's init, or fails; up_R,
# called when it is not running, defines and starts the domain; down_R, called when it is running, stops it. A "-" in the
# name is a "_" in the functions'. No image comes from anywhere: all are made of the one tree.
set -euo pipefail

RUNTIMES=(unit user nspawn lxc libvirt docker docker-user podman podman-user incus lxd runc runc-systemd crun crun-systemd ctr cri)
NAME=${NAME:-mydom}
USER_NAME=labuser
TREE=/srv/domain # the root filesystem that each container gets a copy of

unified() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }

await() { # await CMD...: until it succeeds
  local i
  for i in {1..100}; do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  echo "domains.sh: in vain after $i tries: $*" >&2
  return 1
}

tree() { # tree DIR: a root filesystem there
  if [ ! -d "$TREE" ]; then
    mkdir -p "$TREE"/{bin,dev,etc,proc,root,run,sbin,sys,tmp,usr/bin,usr/lib,var}
    cp /bin/busybox "$TREE/bin/"
    chroot "$TREE" /bin/busybox --install -s /bin
    printf 'ID=domain\nNAME=domain\nVERSION_ID=1\n' | tee "$TREE/etc/os-release" >"$TREE/usr/lib/os-release"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$TREE/etc/passwd"
    echo 'root:x:0:' >"$TREE/etc/group"
    cat >"$TREE/sbin/init" <<'INIT'
#!/bin/sh
# 37 is SIGRTMIN+3, by which systemd-nspawn asks its init to power off; LXC sends SIGPWR
trap 'exit 0' TERM INT PWR 37
while :; do
  sleep 3600 &
  wait $!
done
INIT
    chmod +x "$TREE/sbin/init"
  fi
  if [ ! -d "$1" ]; then
    mkdir -p "$(dirname "$1")"
    cp -a "$TREE" "$1"
  fi
}

define() { # define FILE: from standard input; true if that changed it
  local new
  new=$(cat)
  if [ -e "$1" ] && [ "$(cat "$1")" = "$new" ]; then return 1; fi
  mkdir -p "$(dirname "$1")"
  printf '%s\n' "$new" >"$1"
}

service() { printf '[Service]\nExecStart=/bin/sleep infinity\n'; }

main_pid() { # main_pid SYSTEMCTL...
  local pid
  pid=$("$@" show -P MainPID "$NAME.service")
  [ "${pid:-0}" != 0 ] && echo "$pid"
}

# --- a plain unit

up_unit() {
  if service | define "/etc/systemd/system/$NAME.service"; then systemctl daemon-reload; fi
  systemctl start "$NAME.service"
}
down_unit() { systemctl stop "$NAME.service"; }
pid_unit() { main_pid systemctl; }

# --- a plain unit of an unprivileged user's own systemd

as_user() {
  local uid run
  uid=$(id -u "$USER_NAME")
  run=/run/user/$uid
  cd /
  setpriv --reuid="$uid" --regid="$uid" --init-groups --reset-env \
    env "XDG_RUNTIME_DIR=$run" "DBUS_SESSION_BUS_ADDRESS=unix:path=$run/bus" "$@"
}
up_user() {
  if service | define "/home/$USER_NAME/.config/systemd/user/$NAME.service"; then
    chown -R "$USER_NAME:" "/home/$USER_NAME/.config"
    as_user systemctl --user daemon-reload
  fi
  as_user systemctl --user start "$NAME.service"
}
down_user() { as_user systemctl --user stop "$NAME.service"; }
pid_user() { main_pid as_user systemctl --user; }

# --- systemd-nspawn, booted by its unit

up_nspawn() {
  tree "/var/lib/machines/$NAME"
  define "/etc/systemd/nspawn/$NAME.nspawn" <<'X' || true
[Exec]
Boot=yes
PrivateUsers=no
[Network]
VirtualEthernet=no
X
  systemctl start "systemd-nspawn@$NAME.service"
}
down_nspawn() { systemctl stop "systemd-nspawn@$NAME.service"; }
pid_nspawn() { machinectl show "$NAME" -P Leader 2>/dev/null; }

# --- LXC

up_lxc() {
  tree "/var/lib/lxc/$NAME/rootfs"
  [ -e "/var/lib/lxc/$NAME/config" ] || define "/var/lib/lxc/$NAME/config" <<X # cputune writes into it, too
lxc.uts.name = $NAME
lxc.rootfs.path = dir:/var/lib/lxc/$NAME/rootfs
lxc.net.0.type = empty
lxc.mount.auto = proc:mixed sys:ro cgroup:mixed
lxc.init.cmd = /sbin/init
lxc.tty.max = 0
X
  lxc-start -n "$NAME" -o "/var/log/lxc-$NAME.log" -l INFO
}
down_lxc() { lxc-stop -n "$NAME"; }
pid_lxc() { lxc-info -n "$NAME" -pH | grep .; }

# --- libvirt's LXC driver

up_libvirt() {
  tree "/srv/libvirt/$NAME"
  systemctl start libvirtd.service
  define "/srv/libvirt/$NAME.xml" <<X || true
<domain type='lxc'>
  <name>$NAME</name>
  <memory unit='KiB'>131072</memory>
  <vcpu>2</vcpu>
  <os><type>exe</type><init>/sbin/init</init></os>
  <devices>
    <filesystem type='mount'><source dir='/srv/libvirt/$NAME'/><target dir='/'/></filesystem>
    <console type='pty'/>
  </devices>
</domain>
X
  if ! virsh -q -c lxc:/// dominfo "$NAME" >/dev/null 2>&1; then virsh -q -c lxc:/// define "/srv/libvirt/$NAME.xml"; fi
  if unified; then
    virsh -q -c lxc:/// start "$NAME"
  else
    without_machined virsh -q -c lxc:/// start "$NAME"
  fi
}
# On cgroup v1 the start fails when there is a machined ("NoMachineForPID", which libvirtd, not the domain's controller,
# is told). Without, libvirt makes the cgroups itself, but leaves the domain in libvirtd.service for systemd, which moves
# a unit's processes, wherever they are, when the unit's set of controllers changes. As it does not while the unit is
# delegated: otherwise the domain would lose its cpu cgroup as soon as no other unit wants one.
# libvirtd must then not be started anew, by being idle either: it would not find those cgroups, and crash at schedinfo.
# (A libvirtd that has seen no machined starts the next domains well with one, in scopes of machine.slice.)
without_machined() {
  local activation=/usr/share/dbus-1/system-services/org.freedesktop.machine1.service rc=0
  systemctl stop systemd-machined.service
  mv "$activation" /run/
  systemctl -q mask --runtime systemd-machined.service
  systemctl reload dbus.service
  if define /etc/systemd/system/libvirtd.service.d/v1.conf <<<$'[Service]\nDelegate=yes\nEnvironment=LIBVIRTD_ARGS='; then
    systemctl daemon-reload
  fi
  systemctl restart libvirtd.service
  "$@" || rc=$?
  mv "/run/${activation##*/}" "$activation"
  systemctl -q unmask --runtime systemd-machined.service
  systemctl reload dbus.service
  systemctl start systemd-machined.service
  return "$rc"
}
# It can fail over a cgroup that systemd has removed meanwhile, with the domain gone all the same.
down_libvirt() { virsh -q -c lxc:/// destroy "$NAME" || ! pid_libvirt >/dev/null; }
pid_libvirt() { # libvirt's own file has the pid of libvirt_lxc; init is its child
  local controller
  controller=$(cat "/run/libvirt/lxc/$NAME.pid" 2>/dev/null) && pgrep -n -P "$controller"
}

# --- docker and podman, root's and a user's

NO_NETWORK='"bridge": "none", "iptables": false, "ip6tables": false'

up_docker() {
  define /etc/docker/daemon.json <<<"{$NO_NETWORK, \"live-restore\": true}" || true
  systemctl start docker.service
  engine_up docker
}
down_docker() { docker stop -t 2 "$NAME" >/dev/null; }
pid_docker() { engine_pid docker; }

user_docker() { as_user docker -H "unix:///run/user/$(id -u "$USER_NAME")/docker.sock" "$@"; }
up_docker_user() {
  if define "/home/$USER_NAME/.config/docker/daemon.json" <<<"{$NO_NETWORK}"; then
    chown -R "$USER_NAME:" "/home/$USER_NAME/.config"
  fi
  if ! as_user systemctl --user -q is-active docker.service; then
    as_user systemd-run -q --user --unit=docker -p Type=notify -p NotifyAccess=all -p Delegate=yes \
      -E PATH=/usr/sbin:/usr/bin /usr/share/docker.io/contrib/dockerd-rootless.sh
  fi
  engine_up user_docker
}
down_docker_user() { user_docker stop -t 2 "$NAME" >/dev/null; }
pid_docker_user() { engine_pid user_docker; }

up_podman() { engine_up podman; }
down_podman() { podman stop -t 2 "$NAME" >/dev/null; }
pid_podman() { engine_pid podman; }

user_podman() { as_user podman "$@"; }
up_podman_user() { engine_up user_podman; }
down_podman_user() { user_podman stop -t 2 "$NAME" >/dev/null; }
pid_podman_user() { engine_pid user_podman; }

engine_up() { # engine_up COMMAND: the image "domain", where there is none yet, and the container
  if ! "$1" image inspect domain >/dev/null 2>&1; then
    tree /srv/images/root
    tar -C /srv/images/root -c . | "$1" import -c 'CMD ["/sbin/init"]' - domain >/dev/null
  fi
  if "$1" container inspect "$NAME" >/dev/null 2>&1; then
    "$1" start "$NAME" >/dev/null
  else
    "$1" run -d --name "$NAME" --network none domain >/dev/null
  fi
}
engine_pid() { running_pid "$1" container inspect -f '{{.State.Pid}}' "$NAME"; }

running_pid() { # running_pid CMD...: what it prints, where that is a process id and not 0
  local pid
  pid=$("$@" 2>/dev/null) && [ "${pid:-0}" -gt 0 ] && echo "$pid"
}

# --- incus and LXD

lxd_up() { # lxd_up COMMAND SOCKET: both take the same words
  local dir
  if ! grep -q ^root: /etc/subuid; then echo root:1000000:1000000000 | tee -a /etc/subuid >>/etc/subgid; fi
  if ! "$1" storage show default >/dev/null 2>&1; then
    "$1" storage create default dir >/dev/null
    "$1" profile device add default root disk path=/ pool=default >/dev/null
  fi
  if ! "$1" image info domain >/dev/null 2>&1; then
    dir=$(mktemp -d)
    tree "$dir/rootfs"
    printf 'architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  description: domain\n' >"$dir/metadata.yaml"
    tar -C "$dir" -cf "/srv/images/$1.tar" metadata.yaml rootfs
    rm -r "$dir"
    "$1" image import "/srv/images/$1.tar" --alias domain >/dev/null
  fi
  if "$1" info "$NAME" >/dev/null 2>&1; then "$1" start "$NAME"; else "$1" launch -q domain "$NAME" </dev/null; fi
}
lxd_pid() { running_pid sh -c "$1 query /1.0/instances/$NAME/state | jq -e .pid"; }

up_incus() {
  mkdir -p /srv/images
  systemctl start incus.socket incus.service
  lxd_up incus
}
down_incus() { incus stop -f "$NAME"; }
pid_incus() { lxd_pid incus; }

up_lxd() {
  mkdir -p /srv/images
  systemctl start lxd.socket lxd.service
  lxd_up lxc
}
down_lxd() { lxc stop -f "$NAME"; }
pid_lxd() { lxd_pid lxc; }

# --- runc and crun by themselves, without and with systemd

oci_up() { # oci_up RUNTIME ID CGROUPS_PATH [OPTION...]
  local bundle=/srv/oci/$1/$2 runtime=$1 id=$2 path=$3
  tree "$bundle/rootfs"
  if [ ! -e "$bundle/config.json" ]; then
    (cd "$bundle" && "$runtime" spec)
    jq --arg path "$path" '.process.terminal = false | .process.args = ["/sbin/init"] | .root.readonly = false
      | if $path != "" then .linux.cgroupsPath = $path else . end' "$bundle/config.json" >"$bundle/new"
    mv "$bundle/new" "$bundle/config.json"
  fi
  "$runtime" delete -f "$id" >/dev/null 2>&1 || true
  "$runtime" "${@:4}" run -d --bundle "$bundle" "$id" </dev/null >"/var/log/$runtime-$id.log" 2>&1
}
oci_pid() { # oci_pid RUNTIME ID
  local state
  state=$("$1" state "$2" 2>/dev/null) && jq -e 'if .status == "stopped" then empty else .pid end' <<<"$state"
}

up_runc() { oci_up runc "$NAME" ''; }
down_runc() { runc delete -f "$NAME"; }
pid_runc() { oci_pid runc "$NAME"; }
up_runc_systemd() { oci_up runc "$NAME-sd" "system.slice:lab:$NAME-runc" --systemd-cgroup; }
down_runc_systemd() { runc delete -f "$NAME-sd"; }
pid_runc_systemd() { oci_pid runc "$NAME-sd"; }
up_crun() { oci_up crun "$NAME" ''; }
down_crun() { crun delete -f "$NAME"; }
pid_crun() { oci_pid crun "$NAME"; }
up_crun_systemd() { oci_up crun "$NAME-sd" "system.slice:lab:$NAME-crun" --systemd-cgroup; }
down_crun_systemd() { crun delete -f "$NAME-sd"; }
pid_crun_systemd() { oci_pid crun "$NAME-sd"; }

# --- containerd, by ctr and by the interface that a kubelet uses

containerd_up() {
  if define /etc/containerd/config.toml <<'X'; then systemctl stop containerd.service; fi # docker may have started it
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/domain:latest"
X
  systemctl start containerd.service
  await ctr version
}
up_ctr() {
  containerd_up
  tree "/srv/ctr/$NAME"
  if ctr containers info "$NAME" >/dev/null 2>&1; then
    ctr tasks delete -f "$NAME" >/dev/null 2>&1 || true
    ctr tasks start -d "$NAME"
  else
    ctr run -d --rootfs "/srv/ctr/$NAME" "$NAME" /sbin/init
  fi
}
down_ctr() { ctr tasks kill -s KILL "$NAME"; }
pid_ctr() { running_pid sh -c "ctr tasks ls | awk '\$1 == \"$NAME\" && \$3 == \"RUNNING\" { print \$2 }'"; }

up_cri() {
  containerd_up
  if ! ctr -n k8s.io images ls -q | grep -q /domain:; then
    tree /srv/images/root
    archive /srv/images/root | ctr -n k8s.io images import - >/dev/null
  fi
  await cri images docker.io/library/domain:latest
  cri up pod "$NAME" docker.io/library/domain:latest >/dev/null
}
down_cri() { cri down pod "$NAME"; }
pid_cri() { running_pid cri pid pod "$NAME"; }

archive() { # archive DIR: an image made of a directory, as `docker save` writes it
  local dir layer
  dir=$(mktemp -d)
  tar -C "$1" -cf "$dir/layer.tar" .
  layer=$(sha256sum "$dir/layer.tar" | cut -d' ' -f1)
  jq -n --arg layer "sha256:$layer" '{architecture: "amd64", os: "linux", config: {Cmd: ["/sbin/init"]},
    rootfs: {type: "layers", diff_ids: [$layer]}}' >"$dir/config.json"
  jq -n '[{Config: "config.json", RepoTags: ["domain:latest"], Layers: ["layer.tar"]}]' >"$dir/manifest.json"
  tar -C "$dir" -c manifest.json config.json layer.tar
  rm -r "$dir"
}

# ---

cpu_cgroup() { # cpu_cgroup PID: where the process is in the hierarchy that has the cpu controller
  local controllers path unified=''
  while IFS=: read -r _ controllers path; do
    case ,$controllers, in
    *,cpu,*)
      echo "$path"
      return
      ;;
    ,,) unified=$path ;;
    esac
  done <"/proc/$1/cgroup"
  echo "$unified"
}

up() {
  local pid
  if ! pid=$("pid_${1//-/_}"); then
    "up_${1//-/_}"
    await "pid_${1//-/_}"
    pid=$("pid_${1//-/_}")
  fi
  printf '%s\t%s\t%s\n' "$1" "$pid" "$(cpu_cgroup "$pid")"
}

down() {
  local pid
  if pid=$("pid_${1//-/_}"); then
    "down_${1//-/_}"
    await ended "$pid"
  fi
}

ended() { [ ! -e "/proc/$1" ]; }

everyone() {
  local runtime
  for runtime in "${RUNTIMES[@]}"; do
    if unified || [[ $runtime != *-user ]]; then echo "$runtime"; fi
  done
}

usage() {
  sed -n '3,6s/^# //p' "$0" >&2
  exit 2
}

main() {
  local command=${1:-} runtime every failed=0
  case $command in up | down | pid) shift ;; *) usage ;; esac
  for runtime in "$@"; do
    if [[ " ${RUNTIMES[*]} " != *" $runtime "* ]]; then
      echo "domains.sh: unknown runtime $runtime; known: ${RUNTIMES[*]}" >&2
      exit 2
    fi
  done
  if [ "$command" = pid ]; then
    [ $# = 1 ] || usage
    "pid_${1//-/_}"
    return
  fi
  if [ $# = 0 ]; then
    mapfile -t every < <(everyone)
    set -- "${every[@]}"
  fi
  if [ $# = 1 ]; then
    "$command" "$1"
    return
  fi
  for runtime in "$@"; do "$0" "$command" "$runtime" || failed=1; done # one that fails does not hinder the others
  return "$failed"
}

main "$@"
