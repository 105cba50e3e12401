# Sourced by dev: makes what tests with real parts need and what is slow to make, once, in ${XDG_CACHE_HOME:-~/.cache}/rouse.
# Each function does all or nothing, says what it does, and says on failure what will fail for it and what would help.
# shellcheck shell=bash

cache_folder() { echo "${XDG_CACHE_HOME:-${HOME:?}/.cache}/rouse"; }

# new_draft NAME: a folder in the cache that nobody looks into; those of runs that were killed go.
new_draft() {
  local cache
  cache=$(cache_folder)
  mkdir -p "$cache"
  find "$cache" -maxdepth 1 -name ".$1.*" -mmin +180 -exec rm -rf {} +
  mktemp -d "$cache/.$1.XXXXXX"
}

# keep DRAFT TARGET: makes the draft what others find. Somebody else may have been faster; theirs is as good.
keep() {
  chmod 755 "$1"
  mv -T "$1" "$2" 2>/dev/null || rm -rf "$1"
}

# --- Kubernetes --------------------------------------------------------------------------------------------------------------

# Builds etcd, kube-apiserver and kube-controller-manager (tests/e2e/kubernetes/go.mod), which tests/e2e/kube.py starts.
build_kubernetes() {
  local module=tests/e2e/kubernetes version cache draft try begin=$SECONDS
  version=$(sed -n 's|^\tk8s\.io/kubernetes \(v[0-9.]*\)$|\1|p' $module/go.mod)
  cache=$(cache_folder)
  [[ -d $cache/kubernetes-$version ]] && return 0
  draft=$(new_draft "kubernetes-$version")
  mkdir "$draft/module" "$draft/bin"
  cp $module/go.mod $module/go.sum $module/programs.go "$draft/module"
  say "building Kubernetes $version into $cache/kubernetes-$version (5 minutes on 2 cores, once)"
  for try in 1 2 3; do
    compile_kubernetes "$draft" "$version" && break
    echo "dev: try $try of 3 to build Kubernetes failed; what was said last:" >&2
    tail -5 "$draft/log" >&2
    ((try == 3)) || sleep $((try * 2))
  done
  chmod -R u+w "$draft"
  if [[ -f $draft/whole ]]; then
    rm -rf "$draft"/{module,modules,objects,log,whole}
    keep "$draft" "$cache/kubernetes-$version"
    echo "   built in $((SECONDS - begin)) s"
    return 0
  fi
  rm -rf "$draft"
  echo "dev: Kubernetes $version could not be built, so the tests with Kubernetes cannot run and will fail. Does \`go\` reach its" \
    "module proxy (\`go env GOPROXY\`)? The three programs may also be put into $cache/kubernetes-$version/bin by hand." >&2
  return 1
}

# compile_kubernetes DRAFT VERSION: the three programs, into DRAFT/bin. Modules and objects stay in the draft, for the next try.
# (`set -e` does not hold here: the caller looks at the status.)
compile_kubernetes() (
  draft=$1 version=$2
  exec 3>&1 >>"$draft/log" 2>&1
  export GOMODCACHE=$draft/modules GOCACHE=$draft/objects GOFLAGS=-modcacherw GOTOOLCHAIN=local GOWORK=off GO111MODULE=on CGO_ENABLED=0
  unset GOROOT GOPATH GOBIN GOEXPERIMENT
  use_go "$draft/module/go.mod" || exit 1
  cd "$draft/module" || exit 1
  flags=()
  for pair in "gitVersion=$version" gitMajor=1 "gitMinor=$(cut -d. -f2 <<<"$version")" gitTreeState=clean; do
    flags+=(-X "k8s.io/component-base/version.$pair")
  done
  # Nobody debugs them, so nothing is made for that.
  timeout 2400 go build -v -trimpath -gcflags=all=-dwarf=false -ldflags "-s -w ${flags[*]}" -o "$draft/bin/" \
    go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager &
  compiler=$!
  while kill -0 $compiler; do
    for ((i = 0; i < 15; i++)); do
      sleep 1
      kill -0 $compiler || break
    done
    printf '   %d files fetched, %d packages compiled\n' "$(grep -c '^go: downloading' "$draft/log")" "$(grep -cv '^go: ' "$draft/log")" >&3
  done 2>/dev/null
  wait $compiler && mv "$draft/bin/server" "$draft/bin/etcd" || exit 1
  [[ $("$draft/bin/kube-apiserver" --version) == "Kubernetes $version" ]] || exit 1
  "$draft/bin/kube-controller-manager" --version && "$draft/bin/etcd" --version && touch "$draft/whole"
)

# use_go GO_MOD: puts a Go in front of PATH that is as new as the file asks for, unless there is one: that of its `toolchain` line,
# from the module proxy, where toolchains are modules.
use_go() {
  local wanted have toolchain module root sum report
  wanted=$(sed -n 's/^go //p' "$1")
  have=$(go env GOVERSION | sed 's/^go//')
  [[ $(printf '%s\n' "$wanted" "$have" | sort -V | head -1) == "$wanted" ]] && return 0
  toolchain=$(sed -n 's/^toolchain //p' "$1")
  module=golang.org/toolchain@v0.0.1-$toolchain.$(go env GOOS)-$(go env GOARCH)
  echo "go: downloading $module, for $wanted is needed and here is $have"
  # Known to go.mod, or else to the database of checksums.
  sum=$(sed -n "s|^// $module ||p" "$1")
  report=$(dirname "$1")/toolchain.json
  # From where there is no go.mod, which an old Go could not read.
  (cd "$(dirname "$1")/.." && ${sum:+env GONOSUMDB=golang.org/toolchain} go mod download -json "$module") >"$report" || {
    cat "$report"
    return 1
  }
  [[ -z $sum ]] || grep -qF "\"Sum\": \"$sum\"" "$report" || {
    echo "$module is not what it should be: its checksum is not $sum"
    return 1
  }
  root=$(sed -n 's|.*"Dir": "\(.*\)".*|\1|p' "$report")
  # Modules have no executable files.
  [[ -n $root ]] && chmod +x "$root"/bin/* "$root"/pkg/tool/*/* || return 1
  export GOROOT=$root PATH=$root/bin:$PATH
  go version
}

# --- Docker ------------------------------------------------------------------------------------------------------------------

# Makes the tar of a Debian that Dockerfiles of the project begin with: no registry is needed. From the machine's own mirror.
make_base_image() {
  local suite=bookworm cache draft mirror try
  cache=$(cache_folder)
  [[ -f $cache/debian-$suite/root.tar ]] && return 0
  if ((EUID != 0)); then
    echo "dev: an image of Debian can be made by root only, so the tests with Docker will fail" >&2
    return 1
  fi
  draft=$(new_draft "debian-$suite")
  # shellcheck disable=SC2016  # those are apt's
  mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' | sed -n "s/^$suite main //p" | head -1)
  say "making an image of Debian ($suite) with debootstrap in $cache/debian-$suite"
  for try in 1 2 3; do
    rm -rf "$draft/root"
    : >"$draft/log"
    [[ -n $mirror ]] || break
    timeout 600 debootstrap --variant=minbase "$suite" "$draft/root" "$mirror" >"$draft/log" 2>&1 </dev/null && pack_base_image "$draft" && break
    echo "dev: try $try of 3 to make it failed; what debootstrap said:" >&2
    tail -5 "$draft/log" >&2
    ((try == 3)) || sleep $((try * 2))
  done
  rm -rf "$draft"/{root,log}
  if [[ -f $draft/root.tar ]]; then
    keep "$draft" "$cache/debian-$suite"
    return 0
  fi
  rm -rf "$draft"
  echo "dev: no image of Debian could be made, so the tests that build a container will fail. Is a mirror of $suite among the sources" \
    "of apt (found: ${mirror:-none})? The tar of its file system may also be put at $cache/debian-$suite/root.tar by hand." >&2
  return 1
}

# pack_base_image DRAFT: DRAFT/root without what an image has no use for, as DRAFT/root.tar.
pack_base_image() {
  local root=$1/root proxy
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,info,locale}/* "$root"/var/log/*
  # As the image of that name does: packages are not kept.
  printf '%s\n' 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin"; };' \
    'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";' >"$root/etc/apt/apt.conf.d/docker-clean"
  # How this machine's apt reaches the mirror.
  proxy=$(apt-config dump | grep -E '^Acquire::https?::[Pp]roxy ' || true)
  [[ -z $proxy ]] || printf '%s\n' "$proxy" >"$root/etc/apt/apt.conf.d/proxy"
  tar --one-file-system -C "$root" -cf "$1/draft.tar" . && mv "$1/draft.tar" "$1/root.tar"
}
