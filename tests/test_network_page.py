"""The page on networks says what the committed records say."""

import numpy as np

import network_page
from nfl_pruning.networks.comparison.repeat import gathered


def test_the_page_is_fresh():
    hint = "run: python docs/generate/network_page.py"
    assert network_page.PAGE.read_text(encoding="utf-8") == network_page.page(), hint
    readme = network_page.README.read_text(encoding="utf-8")
    assert network_page.MARKS.search(readme)
    assert network_page.with_summary(readme) == readme, hint


def test_the_records_are_complete():
    """Every experiment has distinct repeats, and every repeat all rules at all keep fractions."""
    for records in network_page.settings():
        config = records[0]["config"]
        numbers = [record["config"]["repeat"] for record in records]
        assert len(set(numbers)) == len(numbers) > 1, config
        accuracy = gathered([record["result"] for record in records])
        assert list(accuracy) == config["fractions"]
        for fraction, rules in accuracy.items():
            assert len(rules) == (1 if fraction == 1 else 1 + 3 * len(config["scores"]))
            for values in rules.values():
                known = values[np.isfinite(values)]
                assert ((known > 0) & (known < 1)).all()


def test_the_main_experiment_is_the_one_that_is_described():
    config = network_page.settings()[0][0]["config"]
    assert (config["n_train"], config["model"], config["label_noise"]) == (60000, "mlp", 0)
    assert config["fractions"] == [0.03, 0.1, 0.3, 0.7, 1.0]
