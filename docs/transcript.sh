#!/usr/bin/env bash
# Prints docs/transcript.md: a server is used as a user would, from an empty data directory, and every answer is real.
#
#   npm ci && bash docs/transcript.sh debian-packages-full.ndjson.gz > docs/transcript.md
#
# The file has a JSON object a line, with the id, title and size of a package (examples/debian-packages.ndjson.gz does
# too). Needs bash 5, curl and gzip. Ports 8080 and 9090 where they are free, otherwise any. All is written to a temporary directory and removed.
set -u
export LC_ALL=C.UTF-8

[ -n "${EPOCHREALTIME:-}" ] || {
  echo "this needs bash 5" >&2
  exit 2
}
[ $# -eq 1 ] && [ -r "$1" ] || {
  echo "usage: bash docs/transcript.sh FILE.ndjson.gz > docs/transcript.md" >&2
  exit 2
}
file=$(realpath "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
[ -e "$root/dist/src/cli.js" ] || {
  echo "dist/ is missing: npm ci" >&2
  exit 2
}
work=$(mktemp -d)
server=''
clean() {
  [ -n "$server" ] && kill -9 "$server" 2>/dev/null
  rm -rf "$work"
}
trap clean EXIT
cd "$work" || exit 2
ln -s "$root/dist" "$root/examples" .
ln -s "$file" debian-packages-full.ndjson.gz

free_port() {
  node -e 'const from = port => require("net").createServer().once("error", () => from(0))
    .listen(port, "127.0.0.1", function () { console.log(this.address().port); this.close(); }); from(+process.argv[1])' "$1"
}
HEADRACE_PORT=$(free_port 8080)
HEADRACE_ADMIN_PORT=$(free_port 9090)
export HEADRACE_PORT HEADRACE_ADMIN_PORT
url="http://127.0.0.1:$HEADRACE_PORT"
view="$url/v1/views/packages"
to=''
[ "$HEADRACE_PORT" = 8080 ] || to=" --url $url"

npx() {
  shift
  node dist/src/cli.js "$@"
}

say() { printf '\n%s\n' "$*"; }

# Prints each command and what it prints.
run() {
  local text
  printf '\n```console\n'
  for text in "$@"; do
    printf '$ %s\n' "$text"
    eval "$text" 2>&1 | shortened
  done
  printf '```\n'
}

# Long lines end in …; the empty line that ends a head without a body is left out.
shortened() {
  local line blank=no
  while IFS= read -r line || [ -n "$line" ]; do
    line=${line%$'\r'}
    [ "$blank" = yes ] && echo
    blank=no
    if [ -z "$line" ]; then blank=yes
    elif [ ${#line} -gt 320 ]; then printf '%s…\n' "${line:0:320}"
    else printf '%s\n' "$line"
    fi
  done
}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# Starts the server, waits for its ready line, and says how long that took.
start() {
  local began
  began=$(now_ms)
  node dist/src/cli.js serve > server.log 2>&1 &
  server=$!
  until grep -q '"msg":"ready"' server.log; do
    kill -0 "$server" 2>/dev/null || { cat server.log >&2; exit 1; }
    sleep 0.01
  done
  took=$(($(now_ms) - began))
  printf '\n```console\n$ node dist/src/cli.js serve > server.log &\n$ cat server.log\n%s\n```\n' "$(cat server.log)"
}

memory() { run 'ps -o rss= -p $server | awk '"'"'{ printf "%d MiB resident\n", $1 / 1024 }'"'"; }

cat <<'END'
# A transcript

The main job once, from an empty directory: declare, load, look up, change, stop, kill, ask again. The data are all
63,666 packages of Debian 12's index, of which `examples/` has 5,000. Every answer is what the server printed; lines that
end in `…` are cut. This page is made by

```sh
npm ci && bash docs/transcript.sh debian-packages-full.ndjson.gz > docs/transcript.md
```

which takes any file like it, `examples/debian-packages.ndjson.gz` too. `$server` is the process id of the server. Times
are of one run, on a shared virtual machine with 2 cores and with `curl` beside the server: they say how it feels, and
[benchmarks.md](benchmarks.md) says how fast it is.

## Start and declare
END
start
memory
say 'Of L1, 512 MiB of address space, only what is used becomes resident.'
run "curl -si -X PUT $view -H 'content-type: application/json' --data @examples/packages.view.json"
say '## Load'
run 'gzip -dc debian-packages-full.ndjson.gz | head -1' \
  "npx headrace load debian-packages-full.ndjson.gz --view packages --flat$to"
say "\`--flat\` takes the keys that are features of the view. The line's \`version\` is Debian's, not the record's: it is left out."
memory
say '## Look up'
run "curl -si $view/records/abook"
run "curl -s -D - -o abook.bin $view/records/abook -H 'Accept: application/vnd.headrace.flatbuffers'" 'wc -c < abook.bin'
say 'The record in the form that it is kept in, its times and its checksum included: a client reads it without parsing.'
run "curl -si '$view/records/abook?features=title,size' -H 'Headrace-Timing: 1'"
say 'Five hundred in one request, the first of the file:'
run "gzip -dc debian-packages-full.ndjson.gz | head -500 | node -e 'const ids = require(\"fs\").readFileSync(0, \"utf8\").trim().split(\"\\n\").map(l => JSON.parse(l).id); console.log(JSON.stringify({ ids, features: [\"title\", \"size\"] }))' > lookup.json" \
  "curl -si $view/lookup --data @lookup.json -H 'content-type: application/json' -H 'Headrace-Timing: 1'" \
  "curl -s $view/lookup --data @lookup.json | node -e 'const { ids, statuses, columns } = JSON.parse(require(\"fs\").readFileSync(0, \"utf8\")); console.log(ids.length, new Set(statuses), columns.map(c => c.length), columns[0][1], columns[1][1])'"
say 'A process that has just started runs code that is not compiled yet. After three hundred such lookups:'
run "yes $view/lookup | head -300 | xargs curl -s --data @lookup.json > /dev/null" \
  "curl -s -D - -o /dev/null $view/lookup --data @lookup.json -H 'Headrace-Timing: 1'"
say 'On the command line:'
run "npx headrace get abook zlib1g no-such-package --view packages --features title,size$to; echo \$?"
say '## Versions'
run "npx headrace load debian-packages-full.ndjson.gz --view packages --flat$to" \
  "curl -s '$view/records/abook?features=size'"
say 'Loaded again without versions, every record is newer than the one held: the clock of the server gave it a larger version.'
memory
run "curl -si -X PUT $view/records/my-package -H 'content-type: application/json' -d '{\"features\":{\"title\":\"mine\",\"size\":1},\"version\":7}'" \
  "curl -s -X PUT $view/records/my-package -H 'content-type: application/json' -d '{\"features\":{\"title\":\"late\",\"size\":0},\"version\":6}'" \
  "curl -s '$view/records/my-package?features=title,size'"
say 'The older write came late: it is answered, not applied, and the version held is named.'
say '## Delete and invalidate'
run "curl -si -X DELETE $view/records/my-package" "curl -si $view/records/my-package"
say 'The deletion itself is held in memory, so this 404 is a hit.'
run "curl -si -X POST $view/invalidate -H 'content-type: application/json' -d '{\"prefix\":\"zlib\"}'" \
  "curl -si '$view/records/zlib1g?features=size'" "curl -si '$view/records/zlib1g?features=size'"
say 'Copies in memory were dropped, not records: the next read comes from disk (`L3`), the one behind it from memory (`L1`).'
say '## Stop and start'
kill -TERM "$server"
wait "$server"
status=$?
server=''
printf '\n```console\n$ kill -TERM $server; wait $server; echo $?; tail -2 server.log\n%s\n%s\n```\n' "$status" "$(tail -2 server.log)"
start
say "Ready $took ms after the command, that of Node.js included (\`tookMs\` is headrace's part)."
run "curl -si $view/records/abook"
say 'From disk now, since memory is empty after a start.'
memory
say '## Kill and start'
run "curl -s -X PUT $view/records/my-package -H 'content-type: application/json' -d '{\"features\":{\"title\":\"acknowledged\",\"size\":2}}'"
kill -9 "$server"
wait "$server" 2>/dev/null
status=$?
server=''
printf '\n```console\n$ kill -9 $server; wait $server; echo $?\n%s\n```\n' "$status"
start
say "Ready $took ms after the command."
run "curl -s '$view/records/my-package?features=title,size'" \
  "curl -si $view/lookup --data @lookup.json -H 'content-type: application/json' -H 'Headrace-Timing: 1'" \
  "curl -si $view/lookup --data @lookup.json -H 'content-type: application/json' -H 'Headrace-Timing: 1'"
say 'The acknowledged write is there. The first lookup of the new process read five hundred records from disk, the second' \
  'found them in memory.'
memory
run 'du -h data/headrace.mdb'
