//! Retail: from what the till publishes to sales that anybody can sum.
//!
//! Read it from top to bottom: what comes in (`OrderLine`), what goes out (`Sale`), how one becomes the other (`clean`), and
//! what the dashboard asks for (`SalesByCountry`, `TopProducts`). The last line makes a module of it.

use lakeward_sdk::prelude::*;

/// One invoice line, as the till publishes it.
#[derive(Event)]
#[event(topic = "orders", rename_all = "PascalCase")]
pub struct OrderLine<'a> {
    /// The line's number in the till's journal.
    #[event(rename = "seq")]
    seq: i64,
    /// The invoice; a leading `C` marks a cancellation.
    invoice_no: &'a str,
    stock_code: &'a str,
    description: Option<&'a str>,
    /// Pieces; negative for what comes back.
    quantity: i64,
    /// Price of one piece, in pounds.
    unit_price: Decimal<18, 3>,
    /// The customer as the till writes it, `17850.0`.
    #[event(rename = "CustomerID")]
    customer_id: Option<&'a str>,
    country: &'a str,
    /// When the invoice was written.
    #[event(time, format = "%Y-%m-%d %H:%M:%S")]
    invoice_date: Timestamp,
}

/// A priced line that analysts can sum without thinking: cancellations count against sales.
#[derive(Debug, PartialEq, Product)]
#[product(name = "sales", layer = "silver", partition_by = "month(sold_at)")]
pub struct Sale<'a> {
    /// The line's number in the till's journal.
    seq: i64,
    invoice: &'a str,
    /// `sale` or `cancellation`.
    kind: &'static str,
    stock_code: &'a str,
    description: &'a str,
    /// Pieces; negative for what comes back.
    quantity: i64,
    /// Price of one piece, in pounds.
    #[product(expect = "value > 0", on_violation = "dead_letter")]
    unit_price: Decimal<18, 3>,
    /// Quantity times price, in pounds.
    line_total: Decimal<18, 3>,
    /// The customer; nobody for a sale over the counter.
    customer_id: Option<i64>,
    country: &'a str,
    sold_at: Timestamp,
}

/// Prices a line. A line without a price or a name is nothing that was sold.
#[transform]
pub fn clean(line: OrderLine<'_>) -> Result<Sale<'_>, Reject> {
    if !line.unit_price.is_positive() {
        return Err(Reject::new(format!("unit price {} is not positive", line.unit_price)));
    }
    let description = line.description.map(str::trim).filter(|text| !text.is_empty()).ok_or("no description")?;
    let line_total = line.unit_price.checked_mul(line.quantity).ok_or("the line total is too large")?;
    Ok(Sale {
        seq: line.seq,
        invoice: line.invoice_no,
        kind: if line.invoice_no.starts_with('C') { "cancellation" } else { "sale" },
        stock_code: line.stock_code,
        description,
        quantity: line.quantity,
        unit_price: line.unit_price,
        line_total,
        customer_id: line.customer_id.map(customer_number).transpose()?,
        country: line.country,
        sold_at: line.invoice_date,
    })
}

/// The number in `17850.0`.
fn customer_number(text: &str) -> Result<i64, Reject> {
    let number = text.strip_suffix(".0").unwrap_or(text);
    number.parse().map_err(|_| Reject::new(format!("customer {text:?} is not a number")))
}

/// What the sales dashboard polls.
#[derive(Gold)]
#[gold(from = Sale, time = sold_at, window = "tumbling 1h", lateness = "1h", partition_by = "month")]
pub struct SalesByCountry {
    #[key]
    country: String,
    /// Invoice lines, cancellations among them.
    #[count]
    lines: u64,
    /// Pounds taken, less those given back.
    #[sum(line_total)]
    revenue: Decimal<18, 3>,
    /// Customers who are known by number.
    #[distinct(customer_id)]
    customers: u64,
}

/// What sells, day by day.
#[derive(Gold)]
#[gold(from = Sale, time = sold_at, window = "tumbling 1d", lateness = "1h", partition_by = "month")]
pub struct TopProducts {
    #[key]
    stock_code: String,
    /// Pieces sold, less those that came back.
    #[sum(quantity)]
    quantity: i64,
    /// Pounds taken, less those given back.
    #[sum(line_total)]
    revenue: Decimal<18, 3>,
    /// Invoice lines, cancellations among them.
    #[count]
    lines: u64,
}

lakeward_sdk::module!(owner = "retail", transforms = [clean], gold = [SalesByCountry, TopProducts]);

#[cfg(test)]
mod tests {
    use super::*;
    use lakeward_sdk::testing::{self, json};

    fn line() -> OrderLine<'static> {
        OrderLine {
            seq: 1,
            invoice_no: "536365",
            stock_code: "71053",
            description: Some(" WHITE METAL LANTERN "),
            quantity: 6,
            unit_price: "3.39".parse().unwrap(),
            customer_id: Some("17850.0"),
            country: "United Kingdom",
            invoice_date: "2010-12-01T08:26:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_line_is_priced_to_the_last_digit() {
        let sale = clean(line()).unwrap();
        assert_eq!(sale.line_total.to_string(), "20.340");
        assert_eq!((sale.kind, sale.description, sale.customer_id), ("sale", "WHITE METAL LANTERN", Some(17850)));
    }

    #[test]
    fn a_cancellation_counts_against_sales() {
        let sale = clean(OrderLine { invoice_no: "C536379", quantity: -1, ..line() }).unwrap();
        assert_eq!((sale.kind, sale.line_total.to_string().as_str()), ("cancellation", "-3.390"));
    }

    #[test]
    fn what_is_not_a_sale_is_rejected_with_its_reason() {
        let reason = |line| clean(line).unwrap_err().reason().to_owned();
        assert_eq!(reason(OrderLine { unit_price: Decimal::ZERO, ..line() }), "unit price 0.000 is not positive");
        assert_eq!(reason(OrderLine { description: None, ..line() }), "no description");
        assert_eq!(reason(OrderLine { description: Some("  "), ..line() }), "no description");
        assert_eq!(reason(OrderLine { customer_id: Some("n/a"), ..line() }), "customer \"n/a\" is not a number");
        assert_eq!(reason(OrderLine { quantity: i64::MAX, ..line() }), "the line total is too large");
    }

    #[test]
    fn the_till_s_journal_becomes_sales_and_rejects() {
        let report = testing::run(
            &MODULE,
            "orders",
            r#"
            {"seq":0,"InvoiceNo":"536365","StockCode":"71053","Description":" LANTERN","Quantity":6,"InvoiceDate":"2010-12-01 08:26:00","UnitPrice":3.39,"CustomerID":"17850.0","Country":"United Kingdom"}
            {"seq":1,"InvoiceNo":"536414","StockCode":"22139","Description":null,"Quantity":56,"InvoiceDate":"2010-12-01 11:52:00","UnitPrice":0,"CustomerID":null,"Country":"United Kingdom"}
            {"seq":2,"InvoiceNo":"C536391","StockCode":"22556","Description":"PLASTERS","Quantity":-12,"InvoiceDate":"2010-12-01 10:24:00","UnitPrice":1.65,"CustomerID":null,"Country":"France"}
            {"seq":3,"InvoiceNo":"536370","StockCode":"22556","Description":"PLASTERS","Quantity":"many","InvoiceDate":"2010-12-01 10:24:00","UnitPrice":1.65,"Country":"France"}
            "#,
        );
        assert_eq!(
            report.rows("sales"),
            [
                json!({
                    "seq": 0, "invoice": "536365", "kind": "sale", "stock_code": "71053", "description": "LANTERN", "quantity": 6,
                    "unit_price": "3.390", "line_total": "20.340", "customer_id": 17850, "country": "United Kingdom",
                    "sold_at": "2010-12-01T08:26:00Z",
                }),
                json!({
                    "seq": 2, "invoice": "C536391", "kind": "cancellation", "stock_code": "22556", "description": "PLASTERS",
                    "quantity": -12, "unit_price": "1.650", "line_total": "-19.800", "customer_id": null, "country": "France",
                    "sold_at": "2010-12-01T10:24:00Z",
                }),
            ]
        );
        assert_eq!(
            report.rejects(),
            [(2, "unit price 0.000 is not positive"), (4, "quantity: \"many\" is not a value of type int64")]
        );
    }
}
