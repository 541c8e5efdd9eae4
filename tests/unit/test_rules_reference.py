"""The rules' page is written from the rules."""

from agents.rules_reference import FILE, reference
from schemas.vocabulary import RuleId


def test_the_rules_page_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == reference(), "run: make docs"


def test_every_rule_has_its_section_with_an_example() -> None:
    sections = reference().split("\n### ")[1:]
    assert [section.split("`")[1] for section in sections] == list(RuleId)
    for section in sections:
        assert "**Budget** " in section
        assert "**action** " in section
        assert section.count("```yaml\n- scenario: ") == 1
