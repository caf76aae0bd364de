//! `${NAME}` and `${NAME:-default}` inside text values; `$${` stands for a plain `${`.
//!
//! It does not read the environment: that is an argument. What a variable holds is not expanded again.

/// Looks a variable up.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("`{0}` is no name of a variable")]
    Name(String),
    #[error("`${{` is never closed")]
    Unclosed,
    #[error("the variable `{0}` is not set")]
    Undefined(String),
}

impl ExpandError {
    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Name(_) => "a name has letters, digits and `_`; for a plain `${` write `$${`".into(),
            Self::Unclosed => "close it with `}`; for a plain `${` write `$${`".into(),
            Self::Undefined(name) => format!("set it, or give a default: `${{{name}:-default}}`"),
        }
    }
}

/// `None` when there is nothing to expand.
pub(crate) fn expand(text: &str, env: Environment<'_>) -> Result<Option<String>, ExpandError> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        let (variable, after) = after.split_once('}').ok_or(ExpandError::Unclosed)?;
        expanded.push_str(before);
        expanded.push_str(&value(variable, env)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(Some(expanded))
}

/// As a shell has it: the default stands in for a variable that is not set or empty.
fn value(variable: &str, env: Environment<'_>) -> Result<String, ExpandError> {
    let (name, default) = match variable.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (variable, None),
    };
    if !is_name(name) {
        return Err(ExpandError::Name(name.to_owned()));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(ExpandError::Undefined(name.to_owned())),
    }
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
}

/// The text that expands to `text`.
pub(crate) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_defaults_and_plain_dollars_expand() {
        let env = |name: &str| match name {
            "HOST" => Some("app".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        };
        let cases = [
            ("plain $HOST", Ok(None)),
            ("${HOST}:${PORT:-80}", Ok(Some("app:80"))),
            ("${EMPTY:-x}${EMPTY}", Ok(Some("x"))),
            ("$${HOST}", Ok(Some("${HOST}"))),
            ("${NESTED}", Ok(Some("${HOST}"))),
            ("${HOST", Err(ExpandError::Unclosed)),
            ("${}", Err(ExpandError::Name(String::new()))),
            ("${NO}", Err(ExpandError::Undefined("NO".into()))),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &env), expected.map(|value| value.map(str::to_owned)), "{text}");
        }
        assert_eq!(expand(&escape("${HOST}"), &env), Ok(Some("${HOST}".into())));
    }
}
