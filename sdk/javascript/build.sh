#!/bin/sh
# Builds a plugin from JavaScript:
#
#     sdk/javascript/build.sh OUTPUT.wasm MODULE.js
#
# The module may import the modules beside it, packages in the node_modules of its folder, and "flowloom".
# Needs componentize-qjs (npm; sdk/tools/install.sh installs it into target/sdk-tools). The component has no
# WASI, so it cannot access the machine.
set -eu
. "$(dirname "$0")/../tools/env.sh"

need_npm componentize-qjs componentize-qjs
module=$1
[ -f "$module" ] || fail "cannot find $module"
folder=$(dirname "$module")
cp "$folder"/*.js "$work"
mkdir "$work/node_modules"
[ ! -d "$folder/node_modules" ] || cp -RL "$folder/node_modules/." "$work/node_modules"
cp -R "$root/sdk/javascript/flowloom" "$work/node_modules"
cat >"$work/flowloom-entry.js" <<END
import log from "flowloom:plugin/log@0.1.0";
import { component } from "flowloom/component.js";
import * as author from "./$(basename "$module")";

export const { feature, batchFeature } = component(author, log);
END
componentize-qjs --wit "$root/wit" --world dual-plugin --js "$work/flowloom-entry.js" \
    --module-root "$work" --sync --stub-wasi --output "$output" >"$work/log" || {
    cat "$work/log" >&2
    fail "componentize-qjs failed"
}
