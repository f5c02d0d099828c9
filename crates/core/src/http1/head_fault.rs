//! What an application can do wrong with an answer head.

use std::fmt;

/// What is wrong with an answer head. `field` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// content-length is not 1 to 19 digits, occurs twice, or differs from the length of the body.
    ContentLength {
        /// Which field.
        field: usize,
    },
    /// The number of fields is not the one announced: a name or a value holds a line feed.
    Count,
    /// The field belongs to the server: transfer-encoding, keep-alive, upgrade, or connection with
    /// another value than `close`.
    Forbidden {
        /// Which field.
        field: usize,
    },
    /// A name is not a token.
    Name {
        /// Which field.
        field: usize,
    },
    /// The status is not from 200 to 999.
    Status,
    /// A value holds a control other than tab, or a character above U+00FF.
    Value {
        /// Which field.
        field: usize,
    },
}

impl fmt::Display for HeadFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ContentLength { .. } => {
                "content-length is not a number, occurs twice, or is not the length of the body"
            }
            Self::Count => "a header name or value holds a line feed",
            Self::Forbidden { .. } => "the server owns this header field",
            Self::Name { .. } => "a header name is not a token",
            Self::Status => "the status is not an integer from 200 to 999",
            Self::Value { .. } => "a header value holds a control or a character above U+00FF",
        })
    }
}

impl std::error::Error for HeadFault {}
