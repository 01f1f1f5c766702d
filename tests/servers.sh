# shellcheck shell=bash
# Throw-away servers and client libraries from the archive of Debian or Ubuntu. `./dev` sources this
# file, and provides `repository`, `temporary`, `run`, `fail` and `stop_server`.

# shellcheck disable=SC2154 # set by ./dev
servers=$repository/target/servers

meant_version() {
    case $1 in
        mariadb) echo 10.11 ;;
        mysql) echo 9.7 ;;
        mariadb-11) echo 11.8 ;;
        mariadb-10.5) echo 10.5 ;;
        *) fail "unknown server '$1'; the servers are mariadb, mysql, mariadb-11 and mariadb-10.5" ;;
    esac
}

# ---- Unpacking --------------------------------------------------------------------------------------

# Runs apt on its own package lists, and on an empty list of installed packages, so that it resolves
# every dependency down to the C library. Nothing of this needs root.
in_archive() {
    local command=$1 state=$servers/apt/${release:-own} options=()
    shift
    options=(-o Dir::State="$state" -o Dir::State::status="$servers/apt/status" -o Dir::Cache="$state"
        -o Dir::Cache::archives="$partial/debs" -o APT::Sandbox::User="$(id -un)"
        -o Debug::NoLocking=1)
    if [[ -e $state.list ]]; then
        options+=(-o Dir::Etc::sourcelist="$state.list" -o Dir::Etc::sourceparts=/dev/null)
    fi
    "apt-$command" -qq "${options[@]}" "$@"
}

# Adds a release of Debian other than this one. Other distributions, such as Ubuntu, may have
# the package themselves.
add_release() {
    local site keyring
    # shellcheck disable=SC2016 # apt's own placeholders
    site=$(release='' in_archive get indextargets --format '$(LABEL)|$(SITE)' 'Created-By: Packages' |
        sed -n 's/^Debian|//p' | head -n 1)
    if [[ -z $site ]]; then
        release=
        return
    fi
    for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
        if [[ -e $keyring ]]; then break; fi
    done
    echo "deb [signed-by=$keyring] $site $release main" >"$servers/apt/$release.list"
}

# Downloads a package with all its dependencies and unpacks it into target/servers/NAME, unless it is
# there. Run it with `run`: it changes the folder, and `fail` ends it.
unpack() {
    local name=$1 log=$temporary/apt.log partial=$servers/$1.partial.$$ release package files=() version
    mkdir -p "$servers"
    exec 9>"$servers/lock"
    flock 9 # another ./dev may be unpacking the same
    if [[ -d $servers/$name ]]; then return; fi
    command -v apt-get >/dev/null ||
        fail "cannot get $name: it comes from the archive of Debian or Ubuntu, and there is no apt-get"

    # Of the packages in `files` only the content is needed: they would start a service.
    case $name in
        mariadb) release='' package=mariadb-server-core files=(mariadb-server galera-4) ;;
        mariadb-11) release=unstable package=mariadb-server-core files=(mariadb-server galera-4) ;;
        mariadb-10.5) release=bullseye package=mariadb-server-core-10.5 files=(mariadb-server-10.5) ;;
        mysql) release=unstable package='mysql-server-core(-[0-9.]+)?' ;;
        mysql-router) release=unstable package=mysql-router ;;
        libmysqlclient) release=unstable package='libmysqlclient[0-9]+' files=(libmysqlclient-dev) ;;
    esac
    echo "Downloading $name into target/servers (once; nothing is installed)."
    rm -rf "$servers"/*.partial.*
    mkdir -p "$partial/debs/partial" "$servers/apt"
    : >"$servers/apt/status"
    if [[ -n $release ]]; then add_release; fi
    mkdir -p "$servers/apt/${release:-own}/lists/partial"
    # Third-party archives that do not answer may not be needed, so errors are ignored here.
    in_archive get update &>"$log" || true
    package=$(in_archive cache search --names-only "^$package\$" | cut -d ' ' -f 1 | sort -V | head -n 1)
    if [[ -z $package ]]; then
        cat "$log" >&2
        fail "cannot get $name: the archive has no such package"
    fi
    version=$(in_archive cache policy "$package" | sed -n 's/^  Candidate: //p')
    if [[ $name == mariadb-11 && $version != *:11.* ]]; then
        fail "cannot get $name: the only MariaDB in the archive is $version"
    fi
    {
        in_archive get install -y --download-only --no-install-recommends "$package" &&
            { ((${#files[@]} == 0)) || (cd "$partial/debs" && in_archive get download "${files[@]}"); }
    } &>>"$log" || { cat "$log" >&2; fail "cannot get $name: apt could not download $package $version"; }
    for package in "$partial"/debs/*.deb; do
        dpkg -x "$package" "$partial" || fail "cannot get $name: dpkg could not unpack ${package##*/}"
    done
    rm -rf "$partial/debs"
    if [[ -e $partial/usr/sbin/mariadbd || -e $partial/usr/sbin/mysqld ]]; then
        initialize "$partial" "$name" &>"$log" ||
            { cat "$log" >&2; fail "cannot get $name: it could not create its data folder"; }
    fi
    mv "$partial" "$servers/$name" # last, so that an interrupted run leaves nothing that looks complete
}

# Unpacks what is not there yet.
need() {
    local name
    for name; do
        if [[ ! -d $servers/$name ]]; then run unpack "$name" || return 1; fi
    done
}

# Sets loader and libraries to those unpacked in ROOT. They may be newer than the system's.
find_libraries() {
    local triplet
    loader=$(find "$1" -path '*-linux-gnu*/ld*.so.[0-9]' -print -quit)
    triplet=$(basename "$(dirname "$loader")")
    libraries=$1/usr/lib/$triplet:$1/lib/$triplet:$1/usr/lib/mysql/private
}

# ---- Servers ----------------------------------------------------------------------------------------

# Sets program to the server unpacked in ROOT, with the options that it always needs.
find_program() {
    local root=$1 loader libraries share binary
    find_libraries "$root"
    share=$(find "$root/usr/share" -path '*/english/errmsg.sys' -print -quit)
    share=${share%/english/*}
    binary=$root/usr/sbin/mariadbd
    if [[ ! -e $binary ]]; then binary=$root/usr/sbin/mysqld; fi
    program=("$loader" --library-path "$libraries" "$binary" --no-defaults --basedir="$root/usr"
        --plugin-dir="$root/usr/lib/mysql/plugin" --lc-messages-dir="$share"
        --character-sets-dir="$share/charsets")
    if ((EUID == 0)); then program+=(--user=root); fi
}

# Creates the data folder that every server of a kind starts with.
initialize() {
    local root=$1 name=$2 program
    find_program "$root"
    mkdir "$root/data"
    program+=(--datadir="$root/data")
    if [[ $name == mysql ]]; then
        # Each server makes its own identity.
        "${program[@]}" --initialize-insecure && rm -f "$root/data/auto.cnf"
        return
    fi
    # This is what mariadb-install-db does, which cannot use another loader than the system's.
    shopt -s nullglob # MariaDB 10.5 has no sys schema
    cd "$(dirname "$(find "$root/usr/share" -name '*_system_tables.sql' -print -quit)")" || return
    {
        # One statement a line.
        printf '%s;\n' "CREATE DATABASE mysql" "USE mysql" "SET @auth_root_socket = NULL"
        cat ./*_system_tables.sql ./*_performance_tables.sql ./*_system_tables_data.sql \
            ./maria_add_gis_sp_bootstrap.sql ./*_sys_schema.sql
    } | "${program[@]}" --tmpdir="$root/data" --bootstrap --log-warnings=0
}

# Becomes a server, with its data in FOLDER/data.
instance() {
    local name=$1 folder=$2 port=$3 program
    shift 3
    find_program "$servers/$name"
    mkdir -p "$folder/tmp"
    if [[ ! -d $folder/data ]]; then
        rm -rf "$folder/data.new"
        cp -R "$servers/$name/data" "$folder/data.new"
        mv "$folder/data.new" "$folder/data"
    fi
    # MariaDB deletes the temporary tables of other servers in a shared --tmpdir when it starts.
    program+=(--datadir="$folder/data" --tmpdir="$folder/tmp" --socket="$folder/mysql.sock"
        --pid-file="$folder/server.pid" --port="$port" --bind-address=127.0.0.1
        --max-connections=1000 --skip-log-bin --innodb-flush-log-at-trx-commit=2
        --innodb-buffer-pool-size=64M)
    if [[ $name == mysql ]]; then
        program+=(--mysqlx=OFF --secure-file-priv=)
    else
        program+=(--plugin-maturity=unknown)
    fi
    exec "${program[@]}" "$@"
}

# Writes a program that becomes a server of this kind, and prints its path.
server_command() { dev_command instance "$1"; }

# Writes a program that runs this command of ./dev, and prints its path.
dev_command() {
    local script=$temporary/${*: -1}.sh
    printf '#!/bin/sh\nexec %q %s "$@"\n' "$repository/dev" "$*" >"$script"
    chmod +x "$script"
    echo "$script"
}

# Prints the version in the greeting of the server on PORT.
greeting() {
    local part='' LC_ALL=C
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    # A packet header of four bytes, three of them zero, the protocol's number (10, a line feed), then
    # the version, which ends with a zero.
    for _ in 1 2 3 4; do IFS= read -r -t 5 -d '' part <&3 || return 1; done
    part=${part#$'\n'}
    echo "${part#5.5.5-}" # which MariaDB adds for old replicas
}

# Prints a random port below those that the system gives to clients.
random_port() { echo $((20000 + RANDOM % 12000)); }

# Sets server, port, folder and version.
start_server() {
    local name=$1 meant tries log
    meant=$(meant_version "$name")
    need "$name" || return 1
    folder=$temporary/$name
    log=$folder/log
    mkdir -p "$folder"
    echo "CREATE DATABASE IF NOT EXISTS diesel_locks;" >"$folder/init.sql"
    while true; do
        port=$(random_port)
        set -m
        instance "$name" "$folder" "$port" --init-file="$folder/init.sql" </dev/null &>"$log" &
        server=$!
        set +m
        # The server creates its socket after it has the port, so the port is its own then.
        for ((tries = 0; tries < 1200; tries++)); do
            if ! kill -0 "$server" 2>/dev/null; then break; fi
            if [[ -S $folder/mysql.sock ]] && version=$(greeting "$port" 2>/dev/null); then
                echo "$name is version $version, on port $port."
                if [[ $version != "$meant".* ]]; then
                    echo "note: expected version $meant, but the archive has this one."
                fi
                return
            fi
            sleep 0.1
        done
        stop_server
        if ! grep -qi 'address already in use' "$log"; then
            tail -n 30 "$log" >&2
            echo "the server did not start" >"$temporary/reason"
            return 1
        fi
    done
}

# ---- Clusters ---------------------------------------------------------------------------------------

# Sets the environment in which the tests start the nodes of both clusters, and MySQL Router.
prepare_clusters() {
    local library
    need mariadb mysql mysql-router || return 1
    library=$(find "$servers/mariadb" -name libgalera_smm.so -print -quit)
    if [[ -z $library ]]; then
        echo "target/servers/mariadb has no Galera; delete that folder to download it again" \
            >"$temporary/reason"
        return 1
    fi
    export DIESEL_LOCKS_GALERA=$library DIESEL_LOCKS_MARIADB_COMMAND DIESEL_LOCKS_MYSQL_COMMAND \
        DIESEL_LOCKS_ROUTER_COMMAND
    DIESEL_LOCKS_MARIADB_COMMAND=$(server_command mariadb)
    DIESEL_LOCKS_MYSQL_COMMAND=$(server_command mysql)
    DIESEL_LOCKS_ROUTER_COMMAND=$(dev_command router)
}

# ---- Oracle's client library ------------------------------------------------------------------------

# Sets build to the environment in which cargo links to Oracle's client library. Programs start under
# the loader that was unpacked with it, because it needs a newer C library than the system may have.
# Build scripts and macros load none of it.
oracle_client() {
    local loader libraries flags
    need libmysqlclient || return 1
    find_libraries "$servers/libmysqlclient"
    # The search path has to be the old kind (DT_RPATH), which also holds for libraries of libraries.
    flags="-C link-arg=-Wl,--dynamic-linker=$loader -C link-arg=-Wl,-rpath=$libraries"
    flags+=" -C link-arg=-Wl,--disable-new-dtags,--allow-shlib-undefined"
    # 9.5 is the newest version that mysqlclient-sys has bindings for.
    # shellcheck disable=SC2034 # for ./dev
    build=(CARGO_TARGET_DIR="$repository/target/oracle-client" RUSTFLAGS="${RUSTFLAGS-} $flags"
        RUSTDOCFLAGS="${RUSTDOCFLAGS-} $flags" PKG_CONFIG=/bin/false
        MYSQLCLIENT_LIB_DIR="$servers/libmysqlclient/usr/lib/$(basename "$(dirname "$loader")")"
        MYSQLCLIENT_VERSION=9.5.0)
}

# ---- MySQL Router -----------------------------------------------------------------------------------

# Becomes MySQL Router on PORT, in front of the server on DESTINATION, with connection sharing `on` or
# `off`, and its files in FOLDER.
become_router() {
    local folder=$1 port=$2 destination=$3 sharing=$4 root=$servers/mysql-router loader libraries plugins
    find_libraries "$root"
    plugins=$(dirname "$(find "$root/usr/lib" -name routing.so -print -quit)")
    mkdir -p "$folder"
    cat >"$folder/router.conf" <<TEXT
[DEFAULT]
plugin_folder=$plugins
runtime_folder=$folder
data_folder=$folder
logging_folder=
[logger]
level=info
[connection_pool]
max_idle_server_connections=64
[routing:classic]
bind_address=127.0.0.1
bind_port=$port
destinations=127.0.0.1:$destination
routing_strategy=first-available
protocol=classic
client_ssl_mode=DISABLED
server_ssl_mode=DISABLED
connection_sharing=$([[ $sharing == on ]] && echo 1 || echo 0)
connection_sharing_delay=0
TEXT
    exec "$loader" --library-path "$libraries:$root/usr/lib/mysql-router" \
        "$root/usr/bin/mysqlrouter" --config "$folder/router.conf"
}
