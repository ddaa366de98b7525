#!/bin/sh
# Builds a plugin from JavaScript or TypeScript:
#
#     sdk/javascript/build.sh OUTPUT.wasm MODULE.js
#     sdk/javascript/build.sh OUTPUT.wasm MODULE.ts
#
# The module may import the modules beside it, packages in the node_modules of its folder, and "flowloom".
# Needs componentize-qjs (npm; sdk/tools/install.sh installs it into target/sdk-tools), and node 22.13 or later for
# TypeScript. The component has no WASI, so it cannot access the machine.
set -eu
. "$(dirname "$0")/../tools/env.sh"

need_npm componentize-qjs componentize-qjs
module=$1
[ -f "$module" ] || fail "cannot find $module"
folder=$(dirname "$module")
for file in "$folder"/*.js "$folder"/*.mjs "$folder"/*.ts; do
    case $file in
    *.d.ts) ;;
    *) [ ! -f "$file" ] || cp "$file" "$work" ;;
    esac
done
case $module in
*.ts) node --disable-warning=ExperimentalWarning "$root/sdk/javascript/strip_types.mjs" "$work"/*.ts || fail "cannot strip the types of $module" ;;
esac
mkdir "$work/node_modules"
# A plugin does not import the tools that build and check it. They are large.
for package in "$folder"/node_modules/*; do
    case $(basename "$package") in
    @andreiltd | @types | @typescript | binaryen | componentize-qjs | flowloom | typescript) ;;
    *) [ ! -e "$package" ] || cp -RL "$package" "$work/node_modules" ;;
    esac
done
cp -R "$root/sdk/javascript/flowloom" "$work/node_modules"
cat >"$work/flowloom-entry.js" <<END
import log from "flowloom:plugin/log@0.1.0";
import "flowloom/no_clock.js";
import { component } from "flowloom/component.js";
import * as author from "./$(basename "$module")";

export const { feature, batchFeature } = component(author, log);
END
componentize-qjs --wit "$root/wit" --world dual-plugin --js "$work/flowloom-entry.js" \
    --module-root "$work" --sync --stub-wasi --output "$output" >"$work/log" 2>&1 || {
    # Shows the errors, without the stack of the tool and the folder of this build.
    sed -E -e '1,/^Stubbing/d' -e "s#$work/##g" -e 's#\(/#(#' -e '/^$/d' \
        -e 's#^Error: (: )?Failed to evaluate user JavaScript module: [^:]*: Error: #error: #' "$work/log" >&2
    fail "componentize-qjs failed"
}
