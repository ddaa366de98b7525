//! Selects the flows of a run.

use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;
use flowloom_expr::{ExprError, Filter};

/// The condition on the flows of a run.
///
/// The columns of flows can change while packets flow, if they depend on the plugins. The condition is then checked
/// again for the new columns. It selects no flow whose columns it does not fit.
pub(crate) struct FlowFilter {
    text: String,
    schema: Arc<Schema>,
    filter: Option<Filter>,
    /// The number of flows that were not selected.
    pub(crate) excluded: u64,
}

impl FlowFilter {
    /// Checks a condition on flows with these columns.
    pub(crate) fn new(text: &str, schema: &Arc<Schema>) -> Result<Self, ExprError> {
        Ok(Self {
            text: text.to_owned(),
            schema: schema.clone(),
            filter: Some(Filter::parse(text, schema)?),
            excluded: 0,
        })
    }

    /// Returns whether the condition is true for a flow. Counts the flow otherwise.
    pub(crate) fn selects(&mut self, flow: &Flow) -> bool {
        if !Arc::ptr_eq(&self.schema, flow.schema()) {
            self.schema = flow.schema().clone();
            self.filter = Filter::parse(&self.text, &self.schema).ok();
        }
        let is_selected = (self.filter.as_ref()).is_some_and(|filter| filter.matches(flow));
        self.excluded += u64::from(!is_selected);
        is_selected
    }
}

#[cfg(test)]
mod tests {
    use flowloom_core::meter::{Settings, testing::flows};
    use flowloom_core::schema::UdpColumn;
    use flowloom_core::value::Type;

    use super::*;

    #[test]
    fn a_condition_follows_the_columns_of_the_flows() {
        let mut flows = flows(2);
        let column = UdpColumn::new("p", "count", Type::I64, String::new());
        let wider = Settings::default().schema().with_udps(vec![column]);
        flows[1].schema = Arc::new(wider);
        let text = "udps.p.count is null and dst_port = 53";
        let mut filter = FlowFilter::new(text, flows[1].schema()).unwrap();
        assert!(filter.selects(&flows[1]));
        assert!(!filter.selects(&flows[0]));
        assert!(filter.selects(&flows[1]));
        assert_eq!(filter.excluded, 1);
        assert!(FlowFilter::new(text, flows[0].schema()).is_err());
    }
}
