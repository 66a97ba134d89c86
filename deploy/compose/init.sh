#!/bin/sh
# Makes what docker-compose.yml needs and a clone does not have: random secrets, and an .env that
# says where they are. What is there already stays, so it may be run again at any time.
set -eu
cd "$(dirname "$0")/../.."

secrets=deploy/compose/secrets
umask 077
# Nobody else on this host gets past the directory; the files are open to the containers' users.
mkdir -p "$secrets"
chmod 700 "$secrets"

keep() { # NAME: standard input becomes that secret, if there is none yet
    if [ ! -s "$secrets/$1" ]; then
        cat >"$secrets/.$1"
        chmod 644 "$secrets/.$1"
        mv -f "$secrets/.$1" "$secrets/$1"
    fi
}

random_hex() { # BYTES
    od -An -v -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

random_hex 24 | keep redis_password
random_hex 9 | keep flower_password
head -c 32 /dev/urandom | base64 | tr '+/' '-_' | keep cluster_key

# The server's form of the password: made anew each time, so that the two are always the same.
rm -f "$secrets/redis_conf"
printf 'requirepass %s\n' "$(cat "$secrets/redis_password")" | keep redis_conf

if ! grep -qs '^OSSIMPORT_SECRETS=' .env; then
    if [ -n "$(tail -c 1 .env 2>/dev/null)" ]; then
        echo >>.env # its last line had no end
    fi
    echo "OSSIMPORT_SECRETS=./$secrets" >>.env
fi

echo "Secrets: $secrets (keep cluster_key: without it submitted jobs cannot be read)"
echo "Flower:  user ossimport, password in $secrets/flower_password"
echo "Next:    docker compose up -d"
