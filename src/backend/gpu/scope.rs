//! Names in WGSL. The language lets an inner declaration hide an outer one, and then a template whose statements meant the
//! outer one silently computes something else. The crate's shaders declare every visible name once.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::{Error, Result};

/// Refuses a shader in which a declaration hides another one that is visible at its place.
///
/// # Errors
/// The name, and the lines of both declarations.
pub(super) fn check(source: &str) -> Result<()> {
    let tokens = tokens(source);
    let mut scopes = Scopes { module: FxHashMap::default(), open: Vec::new() };
    module_names(&tokens).try_for_each(|token| scopes.declare(Some(token)))?;
    let mut at = 0;
    // Whether the next brace opens the scope that a function's parameters or a loop's counter are already in.
    let mut begun = false;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text {
            "fn" | "for" => {
                scopes.open.push(FxHashMap::default());
                begun = true;
                if token.text == "fn" {
                    at = parameters(&tokens, at, &mut scopes)?;
                }
            }
            "{" if begun => begun = false,
            "{" => scopes.open.push(FxHashMap::default()),
            "}" => drop(scopes.open.pop()),
            "let" | "const" | "var" if !scopes.open.is_empty() => {
                let name = declared(&tokens, at);
                scopes.declare(tokens.get(name).copied())?;
                at = name + 1;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A word or a sign, the byte it begins at, and its line.
#[derive(Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    line: usize,
}

/// The lines in which the visible names were declared.
struct Scopes<'a> {
    module: FxHashMap<&'a str, usize>,
    open: Vec<FxHashMap<&'a str, usize>>,
}

impl<'a> Scopes<'a> {
    fn declare(&mut self, token: Option<Token<'a>>) -> Result<()> {
        let Some(Token { text, line, .. }) = token else { return Ok(()) };
        let known = self.open.iter().rev().chain([&self.module]).find_map(|scope| scope.get(text));
        if let Some(earlier) = known {
            return Err(Error::internal(format!(
                "a shader hides a name: `{text}`, declared in line {line}, is visible there from line {earlier}"
            )));
        }
        self.open.last_mut().unwrap_or(&mut self.module).insert(text, line);
        Ok(())
    }
}

/// Functions, types and variables of the module: they are visible everywhere, whatever their order.
fn module_names<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = Token<'a>> + 't {
    let mut depth = 0usize;
    tokens.iter().enumerate().filter_map(move |(at, token)| {
        match token.text {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "fn" | "struct" | "alias" | "const" | "override" | "var" if depth == 0 => {
                return tokens.get(declared(tokens, at + 1)).copied();
            }
            _ => {}
        }
        None
    })
}

/// The names that a module declares.
pub(super) fn globals<'a>(tokens: &[Token<'a>]) -> FxHashSet<&'a str> {
    module_names(tokens).map(|token| token.text).collect()
}

/// Declares the parameters of the function whose name is at `at`; gives the place behind them.
fn parameters<'a>(tokens: &[Token<'a>], mut at: usize, scopes: &mut Scopes<'a>) -> Result<usize> {
    let mut depth = 0usize;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "(" => depth += 1,
            ")" if depth == 1 => return Ok(at),
            ")" => depth -= 1,
            ":" if depth == 1 => scopes.declare(tokens.get(at - 1).copied())?,
            _ => {}
        }
        at += 1;
    }
    Ok(at)
}

/// The place of the declared name: behind a variable's `<...>`, if it has one.
fn declared(tokens: &[Token], at: usize) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |t| t.text);
    if text(at) != "<" {
        return at;
    }
    (at..tokens.len()).find(|&end| text(end) == ">").map_or(tokens.len(), |end| end + 1)
}

/// Words, numbers and signs, without comments.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (text, tail) = rest.split_at(length);
        if !first.is_whitespace() && !text.starts_with("//") && !text.starts_with("/*") {
            out.push(Token { text, at: source.len() - rest.len(), line });
        }
        line += text.matches('\n').count();
        rest = tail;
    }
    out
}

/// The length of a block comment; these nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(source: &str, name: &str, lines: [usize; 2]) {
        let error = check(source).expect_err("a hidden name").to_string();
        let says = format!("`{name}`, declared in line {}, is visible there from line {}", lines[0], lines[1]);
        assert!(error.contains(&says), "{error}");
    }

    #[test]
    fn a_name_hidden_in_an_inner_block_is_refused() {
        // The fault that spoiled half of all large products: the second statement meant the outer `n0`.
        refused(
            "fn main() {\n let n0 = 1u;\n {\n  let n0 = n0 + 4u;\n  let n1 = n0 + 64u;\n  b[n1] = 0.0;\n }\n}",
            "n0",
            [4, 2],
        );
    }

    #[test]
    fn every_kind_of_declaration_counts() {
        refused("var<storage, read> b0: array<f32>;\nfn f() {\n var b0 = 1.0;\n}", "b0", [3, 1]);
        refused("const n = 4;\nfn f(n: u32) {}", "n", [2, 1]);
        refused(
            "fn f(@builtin(local_invocation_index) t: u32, s: vec2<u32>) {\n for (var s = 0u; s < t; s++) {}\n}",
            "s",
            [2, 1],
        );
        refused("fn f() {\n for (var i = 0u; i < 4u; i++) {\n  let i = 1u;\n }\n}", "i", [3, 2]);
        refused("fn f() {\n let g = 1u;\n}\nfn g() {}", "g", [2, 4]);
        refused("fn f() { var<function> x = 1u; if x > 0u { loop { const x = 1u; } } }", "x", [1, 1]);
        refused("struct P { v: f32 }\nfn f() { let P = 1.0; }", "P", [2, 1]);
    }

    #[test]
    fn names_apart_are_not_hidden() {
        let apart = "
// let n = 1u; /* not code */
/* let n = 2u; /* nested */ let n = 3u; */
struct Pair { n: u32, m: u32 }
fn f(n: u32) -> u32 { let m = n; return m; }
fn g(n: u32) -> u32 {
    for (var i = 0u; i < n; i++) { let x = i; }
    for (var i = 0u; i < n; i++) { let x = i; }
    if n > 1u { let y = Pair(n, n).m; } else { let y = n; }
    { let y = n; }
    let y = n;
    return y;
}";
        check(apart).unwrap();
    }
}
