"""The page on networks says what the committed records say."""

import network_page


def test_the_page_is_fresh():
    hint = "run: python tests/network_page.py"
    assert network_page.PAGE.read_text(encoding="utf-8") == network_page.page(), hint


def test_the_records_are_complete():
    for name, records in network_page.settings().items():
        assert [record["config"]["keep_fraction"] for record in records] == [
            0.03,
            0.1,
            0.3,
            0.7,
            1.0,
        ]
        for record in records:
            for rule, values in record["result"]["accuracy"].items():
                assert len(values) == record["config"]["repeats"], (name, rule)
