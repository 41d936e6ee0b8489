"""Placeholders in the files of a study."""

import shlex

import pytest

from motoko.runs.placeholders import UnsetPlaceholder, fill, placeholders


def filled(text, values):
    return fill(text.encode(), values, "in.dat").decode()


class TestFill:
    def test_values(self):
        text = "a=__BLACKDYNAMITE__a__ b=__BLACKDYNAMITE__b_c__\n__BLACKDYNAMITE__a__"
        assert filled(text, {"a": 1.5, "b_c": "x"}) == "a=1.5 b=x\n1.5"

    def test_neighbours(self):
        text = "__BLACKDYNAMITE__a____BLACKDYNAMITE__b__"
        assert filled(text, {"a": 1, "b": 2}) == "12"
        assert filled(text, {"a": 1, "a_": 3, "b": 2}) == "12"
        assert filled("run___BLACKDYNAMITE__a___end", {"a": 1}) == "run_1_end"

    @pytest.mark.parametrize(
        "name",
        [
            *("a__b", "a_", "_a", "__a", "a__", "a.b", "a-b", "a b", "x1", "é", "1", "a:sh"),
            *("blackdynamite", "sh", "a__b__c_"),
        ],
    )
    def test_names(self, name):
        values = {name: "value"}
        assert filled(f"<__BLACKDYNAMITE__{name}__>", values) == "<value>"
        assert filled(f"<__BLACKDYNAMITE__{name}:sh__>", values) == "<value>"

    def test_of_two_that_fit_the_longer(self):
        values = {"a": 1, "a__b": 2, "b": 3}
        assert filled("__BLACKDYNAMITE__a__b__", values) == "2"
        assert filled("__BLACKDYNAMITE__a__c__", values) == "1c__"

    def test_upper_and_lower_case(self):
        assert filled("__BLACKDYNAMITE__Young_Modulus__", {"young_modulus": 1}) == "1"

    def test_as_blackdynamite(self):
        """Where one name fits, as its `replaceBlackDynamiteVariables` does."""
        values = {"x": 1, "x_y": 2, "p__q": 3, "tail_": 4}
        for name in values:
            for before in ("", "_", "a", "a__"):
                for after in ("", "_", "b", "__b"):
                    text = f"{before}__BLACKDYNAMITE__{name}__{after} "
                    theirs = text
                    for key in sorted(values):
                        theirs = theirs.replace(f"__BLACKDYNAMITE__{key}__", str(values[key]))
                    assert filled(text, values) == theirs, text

    def test_value_is_not_filled_again(self):
        values = {"a": "__BLACKDYNAMITE__b__", "b": 1}
        assert filled("__BLACKDYNAMITE__a__", values) == "__BLACKDYNAMITE__b__"

    @pytest.mark.parametrize("value", [0, False, "", [], 0.0])
    def test_false_values_are_values(self, value):
        assert filled("<__BLACKDYNAMITE__a__>", {"a": value}) == f"<{value}>"

    @pytest.mark.parametrize("value", ["a b", "$(exit 3)", "it's", '"', "", "é\n*", "`ls`", "-n"])
    def test_quoted(self, value):
        script = filled("printf %s __BLACKDYNAMITE__a:sh__", {"a": value})
        assert script == f"printf %s {shlex.quote(value)}"
        assert shlex.split(script) == ["printf", "%s", value]

    def test_unset(self):
        with pytest.raises(UnsetPlaceholder, match=r"in\.dat, line 3: .*'depth' has no value"):
            filled("\n\n__BLACKDYNAMITE__depth__", {"depth": None})

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("__BLACKDYNAMITE__y__", "y"),
            ("__BLACKDYNAMITE__y:sh__", "y"),
            ("__BLACKDYNAMITE__x:SH2__", "x:SH2"),
            ("__BLACKDYNAMITE__x_ 1", "x_"),
            ("__BLACKDYNAMITE__x", "x"),
            ("__BLACKDYNAMITE__xx__", "xx"),
            ("__BLACKDYNAMITE__x-y__", "x-y"),
        ],
    )
    def test_no_such_name(self, text, name):
        with pytest.raises(UnsetPlaceholder) as caught:
            filled(f"\n__BLACKDYNAMITE__x__\n{text}", {"x": 1})
        assert f"in.dat, line 3: there is no parameter {name!r}" in str(caught.value)
        assert caught.value.hint == "names that can be replaced: x" and caught.value.exit_code == 2

    def test_without_placeholders(self):
        text = "echo __BLACKDYNAMITE__\n{a} %s $x '__BLACKDYNAMITE__' + name + '__'\n"
        assert filled(text, {"a": 1}) == text
        assert filled(text := "f'__BLACKDYNAMITE__{name}__'", {"a": 1}) == text

    def test_bytes_stay(self):
        text = "é=__BLACKDYNAMITE__x__\r\n".encode("latin-1")
        assert fill(text, {"x": "ü"}, "f") == b"\xe9=\xc3\xbc\r\n"
        binary = b"\0__BLACKDYNAMITE__x__ __BLACKDYNAMITE__typo__"
        assert fill(binary, {"x": 1}, "f") == binary


def test_where_they_are():
    placed = placeholders(b"x\n__BLACKDYNAMITE__a__\n\n __BLACKDYNAMITE__A:sh__", ["a"])
    assert [(each.line, each.name, each.quoted) for each in placed] == [
        (2, "a", False),
        (4, "A", True),
    ]
