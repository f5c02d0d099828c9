//! Why a request is refused, and with which status. Shared by the head parser and the body decoder.

use std::fmt;

/// A fault of the peer. The connection closes after the answer, because where the next request
/// would begin is no longer certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A target that is neither `/path`, `http://...` nor `*` with OPTIONS.
    TargetForm,
    /// An absolute-form target with another scheme than http or https.
    TargetScheme,
    /// An empty target, or one with a space, a control, `#` or a byte above 0x7E.
    TargetText,
    /// A line feed without a carriage return before it, in the head.
    BareLineFeed,
    /// Bytes follow the data of a chunk where its CRLF belongs.
    ChunkEnd,
    /// A chunk extension holds a control or does not end in CRLF.
    ChunkExtension,
    /// The chunk extensions of one body exceed 16 KiB together.
    ChunkExtensionsTooLong,
    /// A chunk size is not 1 to 16 hexadecimal digits followed by CRLF or an extension.
    ChunkSize,
    /// Content-Length is not 1 to 19 digits.
    ContentLength,
    /// Content-Length occurs twice, even with equal values.
    ContentLengthTwice,
    /// More than two empty lines before the request line.
    EmptyLines,
    /// Expect asks for something else than `100-continue`.
    Expectation,
    /// A field is continued on a line that begins with white space.
    FieldFolded,
    /// A line without a colon, or a name that is not a token.
    FieldName,
    /// A field line is longer than the limit.
    FieldTooLong,
    /// A field value holds a control other than tab.
    FieldValue,
    /// More fields than the limit.
    FieldsTooMany,
    /// The forwarding fields of a trusted proxy are malformed or contradict each other.
    Forwarded,
    /// The head is longer than the limit.
    HeadTooLong,
    /// Host is not `name`, `name:port` or `[address]:port`; or the authority of the target is not.
    HostInvalid,
    /// An HTTP/1.1 request without Host.
    HostMissing,
    /// Host occurs twice.
    HostTwice,
    /// Content-Length and Transfer-Encoding in one request.
    LengthAndEncoding,
    /// The method is not a token.
    Method,
    /// TRACE or CONNECT.
    MethodNotAllowed,
    /// The request line is longer than the limit.
    RequestLineTooLong,
    /// A trailer field is malformed.
    Trailer,
    /// The trailers exceed the limit of bytes.
    TrailersTooLong,
    /// More trailer fields than the limit.
    TrailersTooMany,
    /// Transfer-Encoding is neither `chunked` nor a list that ends in it.
    TransferEncoding,
    /// Transfer-Encoding in an HTTP/1.0 request.
    TransferEncodingOnHttp10,
    /// Transfer-Encoding occurs twice.
    TransferEncodingTwice,
    /// A list of transfer codings that ends in `chunked`: well formed, but only `chunked` is done here.
    TransferEncodingUnsupported,
    /// The third word of the request line is not `HTTP/digit.digit`.
    Version,
    /// No version at all, as in HTTP/0.9. Answered like any other malformed request line: a peer
    /// that really speaks 0.9 sees the answer as text, every other one learns what is wrong.
    VersionMissing,
    /// A version that is neither HTTP/1.0 nor HTTP/1.1.
    VersionUnsupported,
}

impl Refusal {
    /// Status code of the answer.
    #[must_use]
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::MethodNotAllowed => 405,
            Self::RequestLineTooLong => 414,
            Self::Expectation => 417,
            Self::FieldTooLong | Self::FieldsTooMany | Self::HeadTooLong => 431,
            Self::TransferEncodingUnsupported => 501,
            Self::VersionUnsupported => 505,
            _ => 400,
        }
    }

    /// What is wrong, for logs; never sent to the peer.
    #[must_use]
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::TargetForm => "the form of the request target does not fit its method",
            Self::TargetScheme => "the scheme of the request target is neither http nor https",
            Self::TargetText => "the request target is empty or holds a byte that no URI may hold",
            Self::BareLineFeed => "a line of the head ends in LF without CR",
            Self::ChunkEnd => "the data of a chunk is not followed by CRLF",
            Self::ChunkExtension => "a chunk extension holds a control or does not end in CRLF",
            Self::ChunkExtensionsTooLong => "the chunk extensions of the body are too long",
            Self::ChunkSize => "a chunk size is not 1 to 16 hexadecimal digits",
            Self::ContentLength => "Content-Length is not 1 to 19 digits",
            Self::ContentLengthTwice => "Content-Length occurs twice",
            Self::EmptyLines => "too many empty lines before the request line",
            Self::Expectation => "Expect asks for something else than 100-continue",
            Self::FieldFolded => "a field is folded over two lines",
            Self::FieldName => "a field has no colon or its name is not a token",
            Self::FieldTooLong => "a field line is longer than limitRequestFieldSize",
            Self::FieldValue => "a field value holds a control",
            Self::FieldsTooMany => "the head has more fields than limitRequestFields",
            Self::Forwarded => {
                "the forwarding fields of the proxy are malformed or contradict each other"
            }
            Self::HeadTooLong => "the head is longer than limitRequestHead",
            Self::HostInvalid => "Host or the authority of the target is malformed",
            Self::HostMissing => "an HTTP/1.1 request has no Host",
            Self::HostTwice => "Host occurs twice",
            Self::LengthAndEncoding => "Content-Length and Transfer-Encoding occur together",
            Self::Method => "the method is not a token",
            Self::MethodNotAllowed => "TRACE and CONNECT are not allowed",
            Self::RequestLineTooLong => "the request line is longer than limitRequestLine",
            Self::Trailer => "a trailer field is malformed",
            Self::TrailersTooLong => "the trailers are longer than limitTrailers",
            Self::TrailersTooMany => "the body has more trailer fields than limitTrailerFields",
            Self::TransferEncoding => "Transfer-Encoding does not end in chunked",
            Self::TransferEncodingOnHttp10 => "Transfer-Encoding occurs in an HTTP/1.0 request",
            Self::TransferEncodingTwice => "Transfer-Encoding occurs twice",
            Self::TransferEncodingUnsupported => "a transfer coding other than chunked",
            Self::Version => "the HTTP version is malformed",
            Self::VersionMissing => "the request line has no HTTP version",
            Self::VersionUnsupported => "the HTTP version is neither 1.0 nor 1.1",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl std::error::Error for Refusal {}
