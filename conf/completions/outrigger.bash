# bash completion of outrigger; printed by `outrigger reference completions-bash`
_outrigger()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= offer= i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c|--config|--listen|--to|--set|--admin|--log-level|--route|--status|--slow) i=$((i + 1)) ;;
		-*) ;;
		*) command=${COMP_WORDS[i]}; break ;;
		esac
	done
	case $before in
	-c|--config) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
	--log-level) offer='error warn info debug' ;;
	--listen|--to|--set|--admin|--route|--status|--slow) return ;;
	*)
		case $word,$command in
		-*) offer=' --config -c --listen --to --set --admin --log-level --route --status --slow --watch --json --origin --ready --no-color -t --help -h --version -V' ;;
		*,) offer=' run demo check explain config schema reference status top tap healthcheck reload drain undrain quit help' ;;
		*,help) offer=' run demo check explain config schema reference status top tap healthcheck reload drain undrain quit help route_not_found method_not_allowed request_invalid request_header_too_large request_body_too_large request_timeout client_closed unauthorized forbidden keys_unavailable rate_limited concurrency_limited queue_timeout overloaded circuit_open no_healthy_endpoint coalesce_full dns_error dns_timeout connection_refused connection_timeout tls_error tls_certificate_error upstream_reset upstream_protocol_error upstream_timeout deadline_exceeded deadline_unreachable response_truncated response_header_too_large upgrade_failed loop_detected idempotency_conflict idempotency_mismatch idempotency_missing store_unavailable draining fault_injected internal_error' ;;
		*,reference) offer=' configuration errors example man completions-bash completions-zsh completions-fish' ;;
		esac ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$offer" -- "$word")
}
complete -F _outrigger outrigger
