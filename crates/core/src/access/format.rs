//! What a line of the access log says: Gunicorn's atoms, or one JSON object.

use memchr::memmem::Finder;

/// A line as it is wanted.
#[derive(Debug)]
pub struct Format {
    pub(super) kind: Kind,
    /// Fields of the request that a line needs: `\nname:`, and whether their values are kept back.
    pub(super) request_fields: Vec<Wanted>,
    /// Fields of the answer, by their names.
    pub(super) response_fields: Vec<Wanted>,
    /// A line names the id of its request.
    pub(super) has_id: bool,
}

/// How a line is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Atoms(Vec<Atom>),
    Json,
}

/// A field that a line needs.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: Vec<u8>,
    pub(super) finder: Finder<'static>,
    pub(super) is_secret: bool,
}

/// A piece of a line. Fields are named by their places among those that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Atom {
    Text(Vec<u8>),
    Remote,
    Time,
    RequestLine,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    /// Bytes of the body; none is `-` where asked for.
    Length {
        is_dash: bool,
    },
    Seconds,
    Milliseconds,
    Microseconds,
    DecimalSeconds,
    RequestField(usize),
    ResponseField(usize),
    RequestId,
}

/// What is wrong with a format, for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatFault(pub String);

const COMMON: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s"#;
const COMBINED: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// Places of the fields that a JSON object needs.
pub(super) const JSON_REFERER: usize = 0;
pub(super) const JSON_AGENT: usize = 1;

impl Format {
    /// Reads a format: `common`, `combined`, `json`, or text with atoms such as `%(h)s`.
    ///
    /// # Errors
    /// An atom that is not known, or not closed.
    pub fn parse(text: &str) -> Result<Self, FormatFault> {
        let mut format = Self {
            kind: Kind::Json,
            request_fields: Vec::new(),
            response_fields: Vec::new(),
            has_id: false,
        };
        match text {
            "json" => {
                want(&mut format.request_fields, "referer");
                want(&mut format.request_fields, "user-agent");
            }
            "common" => format.kind = Kind::Atoms(format.atoms(COMMON)?),
            "combined" => format.kind = Kind::Atoms(format.atoms(COMBINED)?),
            text => format.kind = Kind::Atoms(format.atoms(text)?),
        }
        format.has_id = match &format.kind {
            Kind::Json => true,
            Kind::Atoms(atoms) => atoms.contains(&Atom::RequestId),
        };
        Ok(format)
    }

    fn atoms(&mut self, text: &str) -> Result<Vec<Atom>, FormatFault> {
        let mut atoms = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            push_text(&mut atoms, before);
            if let Some(after) = after.strip_prefix('%') {
                push_text(&mut atoms, "%");
                rest = after;
                continue;
            }
            let inside = after
                .strip_prefix('(')
                .and_then(|inner| inner.split_once(")s"));
            let Some((name, after)) = inside else {
                return Err(FormatFault(format!(
                    "%{} is no atom; write %(name)s, or %% for a percent sign",
                    after.chars().take(8).collect::<String>()
                )));
            };
            match self.atom(name)? {
                Atom::Text(text) => push_text(&mut atoms, &String::from_utf8_lossy(&text)),
                atom => atoms.push(atom),
            }
            rest = after;
        }
        push_text(&mut atoms, rest);
        Ok(atoms)
    }

    fn atom(&mut self, name: &str) -> Result<Atom, FormatFault> {
        if let Some((field, kind)) = name.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            let field = field.to_ascii_lowercase();
            return match kind {
                "i" => Ok(Atom::RequestField(want(&mut self.request_fields, &field))),
                "o" => Ok(Atom::ResponseField(want(&mut self.response_fields, &field))),
                // The names of variables are not those of fields: as they were written.
                "e" => Ok(Atom::Text(variable(name))),
                _ => Err(unknown(name)),
            };
        }
        Ok(match name {
            "h" => Atom::Remote,
            // Nobody asks identd, and the name of a user is part of his authorization.
            "l" | "u" => Atom::Text(b"-".to_vec()),
            "t" => Atom::Time,
            "r" => Atom::RequestLine,
            "m" => Atom::Method,
            "U" => Atom::Path,
            "q" => Atom::Query,
            "H" => Atom::Protocol,
            "s" => Atom::Status,
            "B" => Atom::Length { is_dash: false },
            "b" => Atom::Length { is_dash: true },
            "f" => Atom::RequestField(want(&mut self.request_fields, "referer")),
            "a" => Atom::RequestField(want(&mut self.request_fields, "user-agent")),
            "T" => Atom::Seconds,
            "M" => Atom::Milliseconds,
            "D" => Atom::Microseconds,
            "L" => Atom::DecimalSeconds,
            "p" => Atom::Text(format!("<{}>", std::process::id()).into_bytes()),
            "id" => Atom::RequestId,
            _ => return Err(unknown(name)),
        })
    }
}

/// The place of a field among those that are wanted.
fn want(wanted: &mut Vec<Wanted>, name: &str) -> usize {
    let known = wanted
        .iter()
        .position(|wanted| wanted.name == name.as_bytes());
    known.unwrap_or_else(|| {
        let line = format!("\n{name}:");
        wanted.push(Wanted {
            name: name.as_bytes().to_vec(),
            finder: Finder::new(line.as_bytes()).into_owned(),
            is_secret: is_secret(name),
        });
        wanted.len().saturating_sub(1)
    })
}

/// Fields whose values let somebody in.
fn is_secret(name: &str) -> bool {
    matches!(name, "authorization" | "cookie" | "set-cookie") || name.starts_with("proxy-")
}

fn variable(name: &str) -> Vec<u8> {
    let name = name.trim_start_matches('{').trim_end_matches("}e");
    std::env::var(name)
        .unwrap_or_else(|_| "-".to_owned())
        .into_bytes()
}

fn push_text(atoms: &mut Vec<Atom>, text: &str) {
    if text.is_empty() {
        return;
    }
    if let Some(Atom::Text(before)) = atoms.last_mut() {
        before.extend_from_slice(text.as_bytes());
    } else {
        atoms.push(Atom::Text(text.as_bytes().to_vec()));
    }
}

fn unknown(name: &str) -> FormatFault {
    FormatFault(format!(
        "%({name})s is no atom; there are h l u t r m U q H s B b f a T M D L p id, \
         and {{name}}i, {{name}}o, {{NAME}}e"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_atom_is_named() {
        for (text, said) in [
            ("%(x)s", "%(x)s is no atom"),
            ("%({a}x)s", "%({a}x)s is no atom"),
            ("%h", "%h is no atom"),
            ("100%", "% is no atom"),
            ("%(h", "%(h is no atom"),
        ] {
            let FormatFault(fault) = Format::parse(text).unwrap_err();
            assert!(fault.starts_with(said), "{fault}");
        }
    }

    #[test]
    fn text_between_atoms_stays_as_it_is() {
        let Kind::Atoms(atoms) = Format::parse("a%%b %(l)s %(s)s)s%%").unwrap().kind else {
            panic!("atoms")
        };
        assert_eq!(
            atoms,
            [
                Atom::Text(b"a%b - ".to_vec()),
                Atom::Status,
                Atom::Text(b")s%".to_vec())
            ]
        );
    }

    #[test]
    fn a_field_is_wanted_once_and_secrets_are_kept_back() {
        let format =
            Format::parse("%(f)s %({Referer}i)s %({Cookie}i)s %({Set-Cookie}o)s %({proxy-x}i)s");
        let format = format.unwrap();
        let wanted = |fields: &[Wanted]| -> Vec<(String, bool)> {
            let name = |field: &Wanted| String::from_utf8_lossy(&field.name).into_owned();
            fields
                .iter()
                .map(|field| (name(field), field.is_secret))
                .collect()
        };
        assert_eq!(
            wanted(&format.request_fields),
            [
                ("referer".to_owned(), false),
                ("cookie".to_owned(), true),
                ("proxy-x".to_owned(), true)
            ]
        );
        assert_eq!(
            wanted(&format.response_fields),
            [("set-cookie".to_owned(), true)]
        );
    }
}
