# What the gateway in front of the tools asks: may this be done? The input says who, through whom, what and for what.
package sidecar.approve

default allow := false

allow if {
	input.subject.sub == "alice"
	input.action.tool == "delete_document"
	data.desk.approved[input.action.arguments.path]
}

# The document that is asked for: {"allow": …, "reason": …}.
reason := "someone at the desk said yes to this document" if allow

reason := "nobody at the desk said yes to this document" if not allow
