"""Tests of the oracle itself. They need neither NFStream nor Flowloom.

python3 -m unittest discover -s tests/oracle
"""

from __future__ import annotations

import argparse
import json
import tempfile
import unittest
from pathlib import Path

import parity
import parity_applications
import plugins
from applications import Known, judge
from compare import compare
from explain import explain
from meter import Flow, Settings
from right import ja4
from rules import Rule

CAPTURES = Path(__file__).parents[1] / "captures"


def expected(name: str) -> list[Flow]:
    """Return NFStream's flows of a capture in tests/captures."""
    lines = (CAPTURES / "expected" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


class Comparing(unittest.TestCase):
    def setUp(self) -> None:
        self.flows = expected("dns.pcap")

    def test_order_and_id_do_not_matter(self) -> None:
        others = [flow | {"id": 99} for flow in reversed(self.flows)]
        self.assertEqual(compare(self.flows, others).equal, len(self.flows))

    def test_a_duplicate_flow_is_a_difference(self) -> None:
        result = compare(self.flows, [*self.flows, self.flows[0]])
        self.assertEqual((result.left, result.right), ([], [self.flows[0]]))

    def test_means_have_a_tolerance_and_counts_have_none(self) -> None:
        flow = self.flows[0]
        close = flow | {
            "bidirectional_mean_ps": flow["bidirectional_mean_ps"] * (1 + 1e-12)
        }
        self.assertEqual(compare([flow], [close]).equal, 1)
        for column in ("src2dst_bytes", "bidirectional_first_seen_ms"):
            wrong = flow | {column: flow[column] + 1}
            self.assertEqual(compare([flow], [wrong]).equal, 0, column)


class Explaining(unittest.TestCase):
    def test_the_decoders_differ_only_by_rules(self) -> None:
        captures = parity.captures_below(CAPTURES)
        self.assertTrue(captures)
        for path in captures:
            with self.subTest(path.name):
                explanation = explain(path, Settings())
                self.assertEqual(explanation.without_rule, [])
                theirs = [each.flow for each in explanation.nfstream]
                compared = compare(expected(path.name), theirs)
                self.assertEqual((compared.left, compared.right), ([], []))

    def test_rules_apply_to_the_flows_that_cause_them(self) -> None:
        causes = {
            "qinq.pcap": {Rule.VLAN_88A8},
            "sll2.pcap": {Rule.LINK_TYPE},
            "loopback.pcap": {Rule.SIZE_WRAP},
            "snaplen60.pcap": {Rule.TRUNCATED_IPV6},
            "gtp6.pcap": {Rule.TUNNEL_OVER_IPV6},
            "dns.pcap": set(),
            "ipip.pcap": set(),
        }
        for name, rules in causes.items():
            with self.subTest(name):
                explanation = explain(CAPTURES / name, Settings())
                found = {r for each in explanation.flowloom for r in each.rules}
                self.assertEqual(found, rules)


class Judging(unittest.TestCase):
    """Results of `parity` for correct and for wrong flows of Flowloom."""

    def judge(self, name: str, ours: list[Flow]) -> parity.Outcome:
        task = parity.Task(CAPTURES / name, Settings())
        outcome = parity.Outcome(task)
        return parity.judge_flows(outcome, expected(name), ours)

    def ruled(self, name: str) -> list[Flow]:
        return [each.flow for each in explain(CAPTURES / name, Settings()).flowloom]

    def test_predicted_flows_are_explained(self) -> None:
        outcome = self.judge("qinq.pcap", self.ruled("qinq.pcap"))
        self.assertEqual(outcome.unexplained, [])
        self.assertEqual(outcome.explained.keys(), {Rule.VLAN_88A8})

    def test_a_rule_does_not_excuse_wrong_values(self) -> None:
        first, *others = self.ruled("qinq.pcap")
        wrong = first | {"dst2src_packets": first["dst2src_packets"] + 1}
        self.assertTrue(self.judge("qinq.pcap", [wrong, *others]).unexplained)

    def test_a_missing_predicted_flow_is_a_difference(self) -> None:
        self.assertTrue(self.judge("qinq.pcap", []).unexplained)

    def test_a_missing_column_is_a_difference(self) -> None:
        flows = [dict(flow) for flow in expected("dns.pcap")]
        for flow in flows:
            del flow["vlan_id"]
        self.assertTrue(self.judge("dns.pcap", flows).unexplained)


class JudgingPlugins(unittest.TestCase):
    """Results of `plugins` for a value."""

    def judge(
        self, ours: list[str], theirs: list[str], right: list[str], *reasons: str, failed: str = ""
    ) -> plugins.Outcome:
        outcomes = plugins.Outcomes()
        flow = expected("dns.pcap")[0]
        judged = {
            "theirs": {"mdns_ptr": theirs},
            "failed": failed or None,
            "right": {"mdns_ptr": right},
            "reasons": list(reasons),
        }
        twin = flow | {"udps": {"mdns": {"mdns_ptr": ours, "mdns_ptr_cut": False}}}
        flow = flow | {"plugins": {"mdns": judged}}
        plugins.judge_flow(outcomes, "mdns", CAPTURES / "dns.pcap", flow, twin)
        return outcomes.plugins["mdns"]

    def test_equal_values_are_equal(self) -> None:
        self.assertEqual(self.judge(["a"], ["a"], ["a"]).equal, 1)

    def test_a_reason_explains_expected_values(self) -> None:
        outcome = self.judge(["a"], [], ["a"], "ipv6")
        self.assertEqual((outcome.explained, list(outcome.reasons)), (1, ["ipv6"]))

    def test_a_reason_does_not_explain_wrong_values(self) -> None:
        for ours in ([], ["b"]):
            self.assertTrue(self.judge(ours, [], ["a"], "ipv6").unexplained)

    def test_a_difference_needs_a_known_reason(self) -> None:
        self.assertTrue(self.judge(["a"], [], ["a"]).unexplained)
        self.assertTrue(self.judge(["a"], [], ["a"], "no-such-reason").unexplained)

    def test_a_wrong_value_of_nfstream_is_not_accepted(self) -> None:
        self.assertTrue(self.judge(["b"], ["b"], ["a"], "damaged").unexplained)

    def test_values_of_a_failed_plugin_are_not_equal(self) -> None:
        self.assertTrue(self.judge(["a"], ["a"], ["a"], failed="ValueError").unexplained)
        self.assertEqual(self.judge(["a"], ["a"], ["a"], "not-utf8", failed="x").explained, 1)

    def test_the_example_of_the_specification_of_ja4(self) -> None:
        ciphers = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
        values = sorted(ciphers.split(","))
        self.assertEqual(ja4.twelve(",".join(values)), "8daaf6152771")


class JudgingApplications(unittest.TestCase):
    """Results of `parity_applications` for a flow."""

    def judge(self, application: str, column: str, theirs: object, ours: object) -> list[str] | None:
        """Return the rules that explain a difference in a column, or `None` if there is none."""
        flows = []
        for value in (theirs, ours):
            values = dict.fromkeys(parity_applications.COLUMNS, "") | {"application_name": application, column: value}
            flows.append({"key": [Known(first_seen_ms=1, last_seen_ms=2, packets=3, values=values)]})
        outcome = judge(CAPTURES, *flows, parity_applications.COMPARISON)
        self.assertEqual(outcome.joined, 1)
        self.assertEqual(outcome.equal + outcome.explained + len(outcome.unexplained), 1)
        return None if outcome.unexplained else list(outcome.rules)

    def test_equal_values_need_no_rule(self) -> None:
        self.assertEqual(self.judge("TLS", "requested_server_name", "a", "a"), [])
        self.assertEqual(self.judge("TLS", "application_is_guessed", 1, True), [])

    def test_a_difference_without_rule_is_unexplained(self) -> None:
        for column in parity_applications.COLUMNS[1:]:
            self.assertIsNone(self.judge("TLS", column, "a", "b"))
            self.assertIsNone(self.judge("TLS", column, "a", ""))
            self.assertIsNone(self.judge("TLS", column, "", "b"))

    def test_http_proxy(self) -> None:
        for application in ("HTTP_Proxy", "HTTP_Proxy.GMail", "HTTP_Connect"):
            for column in ("user_agent", "content_type"):
                self.assertEqual(self.judge(application, column, "", "text"), ["http-proxy"])
                self.assertIsNone(self.judge(application, column, "text", ""))
                self.assertIsNone(self.judge("HTTP", column, "", "text"))
            self.assertIsNone(self.judge(application, "requested_server_name", "", "text"))

    def test_ftps(self) -> None:
        for column in ("client_fingerprint", "server_fingerprint"):
            self.assertEqual(self.judge("FTPS.Huawei", column, "", "t12"), ["ftps"])
            self.assertIsNone(self.judge("FTPS", column, "t12", ""))
            self.assertIsNone(self.judge("IMAPS", column, "", "t12"))
        self.assertIsNone(self.judge("FTPS", "user_agent", "", "text"))

    def test_not_utf8(self) -> None:
        self.assertEqual(self.judge("HTTP", "user_agent", "Sonyricsson", "Sony\ufffdricsson"), ["not-utf8"])
        self.assertIsNone(self.judge("HTTP", "user_agent", "SonyEricsson", "Sony\ufffdricsson"))
        self.assertIsNone(self.judge("HTTP", "user_agent", "Sony\ufffdricsson", "Sonyricsson"))
        self.assertIsNone(self.judge("HTTP", "application_category_name", "Web", "Web\ufffd"))

    def test_flows_are_joined_if_all_other_columns_agree(self) -> None:
        columns = expected("dns.pcap")[0].items()
        flow = {name: value for name, value in columns if not isinstance(value, list)}
        flow |= dict.fromkeys(parity_applications.COLUMNS, "")
        other = flow | {"id": 99, "user_agent": "another"}
        longer = flow | {"bidirectional_packets": flow["bidirectional_packets"] + 1}
        keys = [list(parity_applications.keyed([each], frozenset(flow))) for each in (flow, other, longer)]
        self.assertEqual(keys[0], keys[1])
        self.assertNotEqual(keys[0], keys[2])

    def test_the_snapshot_length_is_that_of_the_header(self) -> None:
        capture = (CAPTURES / "dns.pcap").read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "x.pcap")
            for order in ("little", "big"):
                for length, found in ((0, None), (73, 73), (1 << 18, None)):
                    magic = (0xA1B2C3D4).to_bytes(4, order)
                    path.write_bytes(magic + capture[4:16] + length.to_bytes(4, order) + capture[20:24])
                    self.assertEqual(parity_applications.snapshot_length(path), found)
            path.write_bytes(capture[:20])
            self.assertIsNone(parity_applications.snapshot_length(path))
        self.assertIsNone(parity_applications.snapshot_length(CAPTURES / "simple.pcapng"))


class Running(unittest.TestCase):
    def test_a_program_that_hangs_is_killed(self) -> None:
        with self.assertRaises(parity.Failed):
            parity.run(["sleep", "60"], timeout_s=0.1)

    def test_a_failure_of_flowloom_is_reported(self) -> None:
        options = argparse.Namespace(flowloom="false", timeout=5)
        task = parity.Task(CAPTURES / "dns.pcap", Settings())
        with self.assertRaises(parity.Failed):
            parity.flowloom_flows(task, options)


if __name__ == "__main__":
    unittest.main()
