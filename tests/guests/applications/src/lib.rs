//! Outputs the application fields that it receives at the first packet, at later packets and at the end of a flow.

use flowloom_sdk::{FlowFields, Outputs, Plugin};

/// The plugin.
pub struct Applications;

/// The fields at the end of a flow.
#[derive(FlowFields)]
pub struct Known<'a> {
    application_name: &'a str,
    application_category_name: &'a str,
    application_is_guessed: bool,
    application_confidence: u8,
    requested_server_name: &'a str,
    client_fingerprint: &'a str,
    server_fingerprint: &'a str,
    user_agent: &'a str,
    content_type: &'a str,
    application_stack: &'a str,
    application_risks: &'a str,
    application_risk_score: u16,
}

/// The fields at each packet.
#[derive(FlowFields)]
pub struct SoFar<'a> {
    application_name: &'a str,
}

/// The outputs.
#[derive(Outputs)]
pub struct Out {
    /// The application's name after each packet, without repetitions.
    names: String,
    /// All fields at the end of the flow.
    known: String,
}

#[flowloom_sdk::plugin]
impl Plugin for Applications {
    const DESCRIPTION: &'static str = "Outputs the application fields of a flow.";

    type AtInit<'a> = SoFar<'a>;
    type AtUpdate<'a> = SoFar<'a>;
    type AtExpire<'a> = Known<'a>;
    type State = Vec<String>;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(Self)
    }

    fn init(&mut self, _: &(), flow: &SoFar<'_>) -> Vec<String> {
        vec![flow.application_name.to_owned()]
    }

    fn update(&mut self, names: &mut Vec<String>, _: &(), flow: &SoFar<'_>) {
        if names
            .last()
            .is_none_or(|last| last != flow.application_name)
        {
            names.push(flow.application_name.to_owned());
        }
    }

    fn expire(&mut self, names: Vec<String>, flow: &Known<'_>) -> Out {
        let Known {
            application_name,
            application_category_name,
            application_is_guessed,
            application_confidence,
            requested_server_name,
            client_fingerprint,
            server_fingerprint,
            user_agent,
            content_type,
            application_stack,
            application_risks,
            application_risk_score,
        } = flow;
        Out {
            names: names.join(","),
            known: format!(
                "{application_name}|{application_category_name}|{application_is_guessed}|\
                 {application_confidence}|{requested_server_name}|{client_fingerprint}|\
                 {server_fingerprint}|{user_agent}|{content_type}|{application_stack}|\
                 {application_risks}|{application_risk_score}"
            ),
        }
    }
}
