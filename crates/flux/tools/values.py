"""Makes snapshots/flux/values.json, the facts about names, sets, ids and durations that tests/values.rs checks.

usage: values.py DIRECTORY-OF-RECORDINGS > snapshots/flux/values.json
"""

import json
import sys


def observations(directory, name):
    with open(f"{directory}/{name}.json") as file:
        return json.load(file)["observations"]


def rows(name, rows):
    lines = ",\n".join("    " + json.dumps(row, ensure_ascii=False) for row in rows)
    return f'  "{name}": [\n{lines}\n  ]'


def main(directory):
    sets = observations(directory, "core-0.88.0-08-hostlist-idset")
    jobs = observations(directory, "core-0.88.0-05-jobids-jobs-table")
    seen = {"version": "0.88.0", "recorded": "2026-11-22"}
    parts = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in seen.items()]
    parts.append(rows("hostlist: text, printed, count, first hosts (null: refused)", [
        [p["in"], p.get("encode"), p.get("count"), p.get("expand_first12")] for p in sets["hostlist_pairs"]]))
    parts.append(rows("hosts: names, printed, sorted, unique", [
        [p["hosts"], p["encode"], p["sorted"], p["uniq"]] for p in sets["hostlist_encode"]]))
    parts.append(rows("idset: text, printed, with brackets (null: refused)", [
        [p["in"], p.get("encode"), p.get("brackets")] for p in sets["idset_pairs"]]))
    parts.append(rows("fsd: seconds, printed", sets["fsd"]))
    parts.append(rows("duration: text, seconds (null: refused)", [
        [text, None if str(value).startswith("ValueError") else str(value)] for text, value in sets["parse_fsd"]]))
    parts.append(rows("job id: F58, decimal, milliseconds, rank, sequence", [
        [j["f58"], j["dec"], j["ms"], j["rank"], j["seq"]] for j in jobs["jobids"] + [jobs["rank2_submit"]]]))
    print("{\n" + ",\n".join(parts) + "\n}")


main(*sys.argv[1:])
