//! What a person sees of a module.

use super::*;
use crate::transform::sample;

fn module() -> ModuleFile {
    ModuleFile { bytes: vec![0; 81_920], digest: "5e".repeat(32), manifest: sample::manifest() }
}

#[test]
fn a_module_is_shown_in_sections() {
    insta::assert_snapshot!(text(&module()), @r"
    module retail 0.3.0, owned by retail
      Order lines become priced sales.
      size    81920 bytes
      sha256  5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e

    reads topic orders as OrderLine, by transform clean
      One invoice line, as the till publishes it.
      invoice_no    string         field InvoiceNo
      unit_price    decimal(18,3)  field UnitPrice
      customer_id   string?        field CustomerID
      invoice_date  timestamp      field InvoiceDate; format %Y-%m-%d %H:%M:%S; event time
      writes sales

    writes silver/retail/sales
      A priced line that analysts can sum without thinking.
      invoice      string
      line_total   decimal(18,3)  Quantity times price.
      customer_id  string?        masked: keyed hash
      tags         list<string?>
      sold_at      timestamp
      partitioned by month of sold_at
      expects
        line_total_plausible     value < 1000000, of line_total  else warns
        an_invoice_has_a_number  invoice != ''                   else a dead letter

    keeps gold/retail/sales_by_customer, from sales
      What the sales dashboard polls.
      windows of 1h by sold_at, taken up to 10m late
      customer  string?        key: customer_id; The hashed customer.
      lines     uint64         rows
      revenue   decimal(18,3)  sum(line_total)
      partitioned by month of window_start
    ");
}

#[test]
fn the_json_holds_the_whole_manifest() {
    let document: serde_json::Value = serde_json::from_str(&json(&module())).unwrap();
    assert_eq!(document["bytes"], 81_920);
    assert_eq!(document["digest"], "5e".repeat(32));
    assert_eq!(Manifest::from_json(&document["manifest"].to_string()).unwrap(), sample::manifest());
}
