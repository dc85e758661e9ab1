//! Requests and what they are answered, over a site with one silver and one gold product.

use super::rows::{MICRO_BATCH, TABLE_VERSION, WATERMARK};
use super::status::{Commits, Counts, Product, State};
use super::*;
use crate::aggregate::{PartitionState, Plan, View};
use crate::columns::UTC;
use crate::telemetry::Metrics;
use arrow_array::{Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use lakeward_manifest::{Layer, Manifest};
use std::collections::BTreeMap;
use tower::ServiceExt;

const MANIFEST: &str = r#"{
  "manifest_version": 1, "name": "retail-clean", "version": "0.3.0", "owner": "retail", "inputs": [],
  "products": [{
    "name": "sales", "layer": "silver", "description": "A priced line.",
    "columns": [
      {"name": "country", "data_type": "string", "description": "Where it was sold."},
      {"name": "customer_id", "data_type": "string", "nullable": true, "mask": "hash"},
      {"name": "line_total", "data_type": {"decimal": {"precision": 18, "scale": 3}}},
      {"name": "sold_at", "data_type": "timestamp"}
    ],
    "partition_by": [{"column": "sold_at", "by": "day"}],
    "expectations": [
      {"name": "line_total", "column": "line_total", "expression": "value >= 0", "on_violation": "dead_letter"}
    ]
  }],
  "gold": [{
    "name": "sales_by_country", "description": "Revenue per country and hour.", "from": "sales", "time": "sold_at",
    "window": {"tumbling": {"width_ms": 3600000}}, "lateness_ms": 600000, "partition_by": "month",
    "keys": [{"name": "country", "column": "country"}],
    "measures": [
      {"name": "lines", "function": "count", "data_type": "uint64"},
      {"name": "revenue", "function": "sum", "column": "line_total",
       "data_type": {"decimal": {"precision": 18, "scale": 3}}},
      {"name": "customers", "function": "distinct", "column": "customer_id", "data_type": "uint64"}
    ]
  }]
}"#;

const HOUR_MS: i64 = 3_600_000;
/// 2011-01-01T10:00:00Z.
const TEN_MS: i64 = 1_293_876_000_000;

/// One sale: the country, the customer, thousandths, and the minutes after ten o'clock.
type Sale = (&'static str, Option<&'static str>, i128, i64);

struct Fixture {
    site: Arc<Site>,
    view: Arc<View>,
    state: PartitionState,
}

impl Fixture {
    /// Two hours of sales, the first of them committed and closed.
    fn new() -> Self {
        let manifest = Manifest::from_json(MANIFEST).unwrap();
        let plan = Plan::new("retail", &manifest.gold[0], &manifest.products[0]).unwrap();
        let view = Arc::new(View::new(Arc::clone(&plan)));
        let mut catalog = Catalog::default();
        catalog.add_module(&manifest, |layer, path| format!("file:///lake/{layer}/{path}/"));
        let site = Site::new(Status::starting("online-retail", Time(TEN_MS)), Arc::new(Metrics::new()));
        site.publish(catalog, [Arc::clone(&view)]);
        let mut fixture = Self { site: Arc::new(site), view, state: PartitionState::new(plan, 0) };
        fixture.sell(&[("France", Some("a"), 12_340, 5), ("Côte, d'Or", None, 500, 7), ("France", Some("b"), 1, 9)], 3);
        let committed = fixture.state.take_commit(3);
        fixture.view.apply_committed(1, &[committed]);
        fixture.view.set_table(7, 1);
        fixture.sell(&[("France", Some("a"), 99_000, 75)], 4);
        fixture.view.set_horizon_ms(TEN_MS + HOUR_MS + 600_000);
        fixture
    }

    fn sell(&mut self, sales: &[Sale], next_offset: i64) {
        let times = sales.iter().map(|sale| (TEN_MS + sale.3 * 60_000) * 1000);
        let totals = Decimal128Array::from_iter_values(sales.iter().map(|sale| sale.2));
        let rows = RecordBatch::try_new(
            self.state_plan_schema(),
            vec![
                Arc::new(StringArray::from_iter_values(sales.iter().map(|sale| sale.0))),
                Arc::new(StringArray::from_iter(sales.iter().map(|sale| sale.1))),
                Arc::new(totals.with_precision_and_scale(18, 3).unwrap()),
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone(UTC)),
            ],
        );
        assert_eq!(self.state.update(&rows.unwrap(), i64::MIN), Vec::<u32>::new());
        self.view.apply_live(&self.state.take_live(next_offset));
    }

    fn state_plan_schema(&self) -> arrow_schema::SchemaRef {
        let manifest = Manifest::from_json(MANIFEST).unwrap();
        Arc::new(arrow_schema::Schema::new(
            manifest.products[0].columns.iter().map(crate::columns::table_field).collect::<Vec<_>>(),
        ))
    }

    async fn send(&self, request: axum::http::request::Builder) -> (StatusCode, HeaderMap, String) {
        let response = router(Arc::clone(&self.site)).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn get(&self, address: &str) -> (StatusCode, HeaderMap, String) {
        self.send(Request::builder().uri(address)).await
    }

    /// The JSON answer, in lines.
    async fn json(&self, address: &str) -> String {
        let (status, headers, body) = self.get(address).await;
        assert_eq!((status, &headers[CONTENT_TYPE]), (StatusCode::OK, &HeaderValue::from_static("application/json")));
        serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(&body).unwrap()).unwrap()
    }

    /// Asserts that a request is answered by a problem document and gives `status: detail`.
    async fn problem(&self, address: &str) -> String {
        let (status, headers, body) = self.get(address).await;
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json", "{address}");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], status.as_u16());
        assert_eq!(problem["title"], status.canonical_reason().unwrap());
        format!("{}: {}", status.as_u16(), problem["detail"].as_str().unwrap())
    }
}

const ROWS: &str = "/v1/products/retail/sales_by_country/rows";

#[tokio::test]
async fn live_rows_are_answered_newest_first() {
    let (status, headers, body) = Fixture::new().get(ROWS).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[MICRO_BATCH], "1");
    assert_eq!(headers[WATERMARK], "2011-01-01T11:10:00Z");
    assert_eq!(headers[TABLE_VERSION], "7");
    insta::assert_snapshot!(body.replace("},{", "},\n{"), @r#"
    {"product":"retail/sales_by_country","as_of":{"view":"live","micro_batch":1,"offsets":{"0":4},"watermark":"2011-01-01T11:10:00Z","table_version":7,"table_micro_batch":1},"total":3,"rows":[{"country":"France","window_start":"2011-01-01T11:00:00Z","window_end":"2011-01-01T12:00:00Z","final":false,"lines":1,"revenue":"99.000","customers":1},
    {"country":"Côte, d'Or","window_start":"2011-01-01T10:00:00Z","window_end":"2011-01-01T11:00:00Z","final":true,"lines":1,"revenue":"0.500","customers":0},
    {"country":"France","window_start":"2011-01-01T10:00:00Z","window_end":"2011-01-01T11:00:00Z","final":true,"lines":2,"revenue":"12.341","customers":2}]}
    "#);
}

#[tokio::test]
async fn csv_is_the_same_rows_with_the_state_in_headers() {
    let fixture = Fixture::new();
    let (_, headers, by_parameter) = fixture.get(&format!("{ROWS}?format=csv&view=committed")).await;
    insta::assert_snapshot!(by_parameter, @r#"
    country,window_start,window_end,final,lines,revenue,customers
    "Côte, d'Or",2011-01-01T10:00:00Z,2011-01-01T11:00:00Z,true,1,0.500,0
    France,2011-01-01T10:00:00Z,2011-01-01T11:00:00Z,true,2,12.341,2
    "#);
    assert_eq!(headers[CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    assert_eq!(headers[TABLE_VERSION], "7");
    let request = Request::builder().uri(format!("{ROWS}?view=committed")).header("accept", "text/csv");
    assert_eq!(fixture.send(request).await.2, by_parameter);
}

#[tokio::test]
async fn rows_are_filtered_ordered_and_limited() {
    let fixture = Fixture::new();
    for (query, expected) in [
        ("country=France", "lines 1, 2 of 2"),
        ("country=Spain", "lines  of 0"),
        ("from=2011-01-01T11:00:00Z", "lines 1 of 1"),
        ("to=1293879600000", "lines 1, 2 of 2"),
        ("order=-lines", "lines 2, 1, 1 of 3"),
        ("order=window_start,-revenue&limit=1", "lines 2 of 3"),
        ("limit=0", "lines  of 3"),
    ] {
        let (_, _, body) = fixture.get(&format!("{ROWS}?{query}")).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let lines: Vec<_> = body["rows"].as_array().unwrap().iter().map(|row| row["lines"].to_string()).collect();
        assert_eq!(format!("lines {} of {}", lines.join(", "), body["total"]), expected, "{query}");
    }
}

#[tokio::test]
async fn rows_that_the_caller_holds_are_not_sent_again() {
    let mut fixture = Fixture::new();
    let (_, headers, _) = fixture.get(ROWS).await;
    let etag = headers[ETAG].clone();
    assert_eq!(headers[CACHE_CONTROL], "no-cache");
    let ask = |uri: &str| Request::builder().uri(uri).header(IF_NONE_MATCH, etag.clone());

    let (status, headers, body) = fixture.send(ask(ROWS)).await;
    assert_eq!((status, body.as_str(), &headers[ETAG]), (StatusCode::NOT_MODIFIED, "", &etag));
    assert_eq!(headers[MICRO_BATCH], "1");
    for other in ["view=committed", "format=csv", "limit=2", "country=France"] {
        assert_eq!(fixture.send(ask(&format!("{ROWS}?{other}"))).await.0, StatusCode::OK, "{other}");
    }
    fixture.sell(&[("Spain", None, 1, 80)], 5);
    assert_eq!(fixture.send(ask(ROWS)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    let fixture = Fixture::new();
    let mut said = Vec::new();
    for query in [
        "contry=France",
        "country=France&country=Spain",
        "from=yesterday",
        "from=2011-01-01T10:00:00+01:00",
        "limit=100001",
        "limit=-1",
        "view=newest",
        "format=xml",
        "order=",
        "order=profit",
    ] {
        said.push(fixture.problem(&format!("{ROWS}?{query}")).await);
    }
    said.push(fixture.problem("/v1/products/retail/sales/rows").await);
    said.push(fixture.problem("/v1/products/retail/sells/rows").await);
    said.push(fixture.problem("/v1/products/retail/sells").await);
    said.push(fixture.problem("/v1/products/retail/%ff").await);
    said.push(fixture.problem("/v2").await);
    insta::assert_snapshot!(said.join("\n"), @"
    400: there is no parameter `contry`; this product takes `country`, `from`, `to`, `order`, `limit`, `view`, `format`
    400: parameter `country` is given twice
    400: `from=yesterday` is neither RFC 3339 (2011-01-01T10:00:00Z) nor milliseconds since 1970
    400: `from=2011-01-01T10:00:00 01:00` is neither RFC 3339 (2011-01-01T10:00:00Z) nor milliseconds since 1970; a `+` in an address is written `%2B`
    400: `limit=100001` is not a whole number from 0 to 100000
    400: `limit=-1` is not a whole number from 0 to 100000
    400: `view=newest` is neither `live` nor `committed`
    400: `format=xml` is neither `json` nor `csv`
    400: `order=` names no column between two commas
    400: there is no column `profit`; this product has `country`, `window_start`, `window_end`, `lines`, `revenue`, `customers`
    404: rows are served for gold products; `retail/sales` is a silver product, whose table is at file:///lake/silver/retail/sales/
    404: there is no product `retail/sells`; `/v1/products` lists the products
    404: there is no product `retail/sells`; `/v1/products` lists the products
    400: Invalid URL: Invalid UTF-8 in `product`
    404: there is nothing at `/v2`; `/v1/products` lists the products
    ");
}

#[tokio::test]
async fn nothing_can_be_written() {
    let (status, headers, body) = Fixture::new().send(Request::builder().method("POST").uri("/v1/status")).await;
    assert_eq!((status, &headers[ALLOW]), (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET,HEAD")));
    insta::assert_snapshot!(body, @r#"{"type":"about:blank","title":"Method Not Allowed","status":405,"detail":"this address does not take that method; what is read is read with GET"}"#);
}

#[tokio::test]
async fn a_panic_costs_one_answer() {
    let app = Router::new().route("/", get(async || -> &'static str { panic!("of a test") }));
    let request = Request::builder().uri("/").body(Body::empty()).unwrap();
    let response = app.layer(from_fn(catch_panics)).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn browsers_of_any_origin_may_read() {
    let fixture = Fixture::new();
    let (status, headers, _) = fixture.send(Request::builder().method("OPTIONS").uri(ROWS)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], "accept, if-none-match");
    let (_, headers, _) = fixture.get(ROWS).await;
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
}

#[tokio::test]
async fn a_product_shows_its_contract_and_its_freshness() {
    let fixture = Fixture::new();
    fixture.site.update_status(|status| {
        status.products = vec![Product {
            path: "retail/sales_by_country".to_owned(),
            layer: Layer::Gold,
            table_version: Some(7),
            micro_batch: Some(1),
            committed_at: Some(Time(TEN_MS)),
            rows_total: 3,
            next_offsets: BTreeMap::from([("orders#0/0".to_owned(), 3)]),
        }];
    });
    insta::assert_snapshot!(fixture.json("/v1/products/retail/sales").await);
    insta::assert_snapshot!(fixture.json("/v1/products/retail/sales_by_country").await);
    let all: serde_json::Value = serde_json::from_str(&fixture.json("/v1/products").await).unwrap();
    let names: Vec<_> = all["products"].as_array().unwrap().iter().map(|product| &product["name"]).collect();
    assert_eq!(names, ["sales", "sales_by_country"]);
}

#[tokio::test]
async fn the_status_is_told_in_the_words_of_the_design() {
    let fixture = Fixture::new();
    fixture.site.update_status(|status| {
        status.version = "0.0.0".to_owned();
        status.state = State::Waiting("connection refused".to_owned());
        status.topics = vec![status::Topic {
            topic: "orders".to_owned(),
            partitions: vec![status::Partition {
                partition: 0,
                next_offset: 4,
                log_end_offset: Some(9),
                lag: Some(5),
                watermark: Time::from_watermark_ms(TEN_MS),
                idle: false,
            }],
            elsewhere: vec![3],
            stopped: [(2, "its log was cut".to_owned())].into(),
        }];
        let last = Counts { records: 4, rows: 3, skips: 0, dead_letters: 1, late: 0 };
        let committed_at = Some(Time(TEN_MS + 250));
        status.commits = Commits { micro_batch: Some(1), committed_at, last, seconds: 0.25, total: last };
        status.modules = vec![status::Module {
            name: "retail-clean".to_owned(),
            version: "0.3.0".to_owned(),
            owner: "retail".to_owned(),
            digest: "ab".to_owned(),
            paused: None,
            parked: None,
            stopped: BTreeMap::new(),
            metered: status::Metered {
                records: 4,
                rejects: 1,
                nanoseconds_per_event: Some(25.5),
                ..Default::default()
            },
        }];
    });
    insta::assert_snapshot!(fixture.json("/v1/status").await);
}

#[tokio::test]
async fn a_pipeline_lives_before_it_is_ready() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("/livez").await.0, StatusCode::OK);
    assert_eq!(fixture.problem("/readyz").await, "503: modules and state are not loaded yet");
    fixture.site.set_readiness(Readiness::Ready);
    assert_eq!(fixture.get("/readyz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_are_shown() {
    let fixture = Fixture::new();
    fixture.site.metrics().commits.inc();
    let (_, headers, body) = fixture.get("/metrics").await;
    assert_eq!(headers[CONTENT_TYPE], "text/plain; version=0.0.4");
    assert!(body.contains("\nlakeward_commits_total 1\n"), "{body}");
}

#[tokio::test]
async fn the_page_asks_for_nothing_from_elsewhere() {
    let fixture = Fixture::new();
    for (address, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/chart.js", "text/javascript; charset=utf-8"),
        ("/format.js", "text/javascript; charset=utf-8"),
        ("/shadow.js", "text/javascript; charset=utf-8"),
        ("/table.js", "text/javascript; charset=utf-8"),
    ] {
        let (status, headers, body) = fixture.get(address).await;
        assert_eq!((status, headers[CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, content_type));
        let elsewhere = body.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http:") && !elsewhere.contains("https:"), "{address} names another host");
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    }
}

#[tokio::test]
async fn serving_ends_when_it_is_told_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, Fixture::new().site, async move { ended.await.unwrap() }));
    end.send(()).unwrap();
    serving.await.unwrap().unwrap();
}
