//! The page to explore with: GraphiQL and all that it needs, from this binary and not the net.

use axum::{
    extract::Path,
    http::{HeaderName, StatusCode, header},
    response::{Html, IntoResponse, Response},
};

const PAGE: &str = include_str!("../../assets/graphiql/index.html");
/// Nothing comes from elsewhere; styles are set by script.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Name, kind, encoding, content. What this project wrote is plain; what it took from elsewhere is
/// kept compressed, and every browser takes it so.
const ASSETS: [(&str, &str, Option<&str>, &[u8]); 6] = [
    ("react.js", SCRIPT, GZIP, include_bytes!("../../assets/graphiql/react.production.min.js.gz")),
    (
        "react-dom.js",
        SCRIPT,
        GZIP,
        include_bytes!("../../assets/graphiql/react-dom.production.min.js.gz"),
    ),
    ("graphiql.js", SCRIPT, GZIP, include_bytes!("../../assets/graphiql/graphiql.min.js.gz")),
    ("graphiql.css", STYLE, GZIP, include_bytes!("../../assets/graphiql/graphiql.min.css.gz")),
    ("page.js", SCRIPT, None, include_bytes!("../../assets/graphiql/page.js")),
    ("page.css", STYLE, None, include_bytes!("../../assets/graphiql/page.css")),
];
const GZIP: Option<&str> = Some("gzip");

type Headers = [(HeaderName, &'static str); 3];

pub(super) async fn page() -> (Headers, Html<&'static str>) {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(PAGE))
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let Some((_, kind, encoding, content)) = ASSETS.iter().find(|(file, ..)| *file == name) else {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    };
    let headers: Headers = [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    let encoding = encoding.map(|encoding| [(header::CONTENT_ENCODING, encoding)]);
    match encoding {
        Some(encoding) => (headers, encoding, *content).into_response(),
        None => (headers, *content).into_response(),
    }
}
