//! The rules that ids, names and versions in a manifest keep (CONTRACT 5.1, 5.6).

use super::reader::Rule;

/// Most characters of a plugin's name.
const MAX_NAME: usize = 100;

/// Ids of plugins and authors: `^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$`.
pub(super) const SLUG: Rule = Rule {
    holds: |text| {
        let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        consists_of(text, "-") && is_edge(text.chars().next()) && is_edge(text.chars().last())
    },
    broken: "is invalid. Use letters, digits and hyphens; begin and end with a letter or a digit.",
};

/// Ids of model providers: `^[a-zA-Z0-9][a-zA-Z0-9._-]*$`.
pub(super) const DOTTED: Rule = Rule {
    holds: |text| begins_well(text) && consists_of(text, "._-"),
    broken: "is invalid. Use letters, digits, dots, underscores and hyphens; begin with a letter or a digit.",
};

/// Ids of tools and of their providers: `^[a-zA-Z0-9][a-zA-Z0-9_]*$`.
pub(super) const IDENTIFIER: Rule = Rule {
    holds: |text| begins_well(text) && consists_of(text, "_"),
    broken: "is invalid. Use letters, digits and underscores; begin with a letter or a digit.",
};

/// The name of a plugin.
pub(super) const NAME: Rule = Rule {
    holds: |text| (1..=MAX_NAME).contains(&text.chars().count()),
    broken: "is invalid. Use 1 to 100 characters.",
};

/// What must be there, whatever it is.
pub(super) const NOT_EMPTY: Rule = Rule { holds: |text| !text.is_empty(), broken: "is invalid. It must not be empty." };

/// What a process is started with: Linux ends such a text at its first NUL.
pub(super) const NO_NUL: Rule =
    Rule { holds: |text| !text.contains('\0'), broken: "is invalid. It must not contain a NUL character." };

fn begins_well(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn consists_of(text: &str, marks: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: Rule, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!((rule.holds)(text), "{text:?} keeps the rule");
        }
        for text in bad {
            assert!(!(rule.holds)(text), "{text:?} breaks the rule");
        }
    }

    #[test]
    fn a_slug_has_hyphens_only_inside() {
        check(SLUG, &["a", "9", "my-plugin", "a--b", "A1"], &["", "-", "-a", "a-", "a_b", "a.b", "a b", "é", "a\n"]);
    }

    #[test]
    fn a_model_providers_id_may_have_dots_and_hyphens_after_the_first() {
        check(DOTTED, &["a", "a.", "a-_.", "gpt-4.1"], &["", ".a", "-a", "_a", "a b", "aé"]);
    }

    #[test]
    fn a_tools_id_has_neither_dots_nor_hyphens() {
        check(IDENTIFIER, &["a", "a_", "search_2"], &["", "_a", "a-b", "a.b", "a b", "aé"]);
    }

    #[test]
    fn a_name_has_1_to_100_characters() {
        check(NAME, &["a", " ", &"é".repeat(100)], &["", &"a".repeat(101)]);
    }

    #[test]
    fn what_a_process_is_started_with_has_no_nul() {
        check(NO_NUL, &["", "a", "a\n\u{1}"], &["\0", "a\0", "a\0b"]);
    }
}
