/* completions.c - see manual.h: what bash, zsh and fish complete. Options are offered with every command, files after --config. */
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "core/reason.h"
#include "manual.h"

static void print_words(void)
{
#define X(word, use, text) fputs(" " #word, stdout);
	COMMANDS(X)
#undef X
}

static void print_option_words(void)
{
#define X(field, name, brief, value, text) printf(" %s%s%s", name, *brief ? " " : "", brief);
	VALUED_OPTIONS(X)
#undef X
#define X(field, name, brief, text) printf(" %s%s%s", name, *brief ? " " : "", brief);
	FLAG_OPTIONS(X)
#undef X
}

static void print_reasons(void)
{
	for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++)
		printf(" %s", reason_name((enum reason)r));
}

static void print_pages(void)
{
#define X(word, text, print) fputs(" " word, stdout);
	REFERENCE_PAGES(X)
#undef X
}

/* Within single quotes of a shell. */
static void put_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
	putchar('\'');
}

/* ── bash ── */

void completions_bash(void)
{
	printf("# bash completion of outrigger; printed by `outrigger reference completions-bash`\n"
		"_outrigger()\n{\n"
		"\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= offer= i\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\tcase ${COMP_WORDS[i]} in\n"
		"\t\t-c");
#define X(field, name, brief, value, text) printf("|%s", name);
	VALUED_OPTIONS(X)
#undef X
	printf(") i=$((i + 1)) ;;\n"
		"\t\t-*) ;;\n"
		"\t\t*) command=${COMP_WORDS[i]}; break ;;\n"
		"\t\tesac\n"
		"\tdone\n"
		"\tcase $before in\n"
		"\t-c|--config) mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;\n"
		"\t--log-level) offer='error warn info debug' ;;\n"
		"\t");
#define X(field, name, brief, value, text) \
	if (strcmp(#field, "config") != 0 && strcmp(#field, "log_level") != 0) \
		printf("%s%s", strcmp(#field, "listen") == 0 ? "" : "|", name);
	VALUED_OPTIONS(X)
#undef X
	printf(") return ;;\n\t*)\n\t\tcase $word,$command in\n\t\t-*) offer='");
	print_option_words();
	printf("' ;;\n\t\t*,) offer='");
	print_words();
	printf("' ;;\n\t\t*,help) offer='");
	print_words();
	print_reasons();
	printf("' ;;\n\t\t*,reference) offer='");
	print_pages();
	printf("' ;;\n\t\tesac ;;\n\tesac\n"
		"\tmapfile -t COMPREPLY < <(compgen -W \"$offer\" -- \"$word\")\n"
		"}\n"
		"complete -F _outrigger outrigger\n");
}

/* ── zsh ── */

/* "--name[text]:value:action": in the bracketed part brackets and colons mean something. */
static void put_zsh_text(const char *text)
{
	for (; *text; text++) {
		if (*text == '[' || *text == ']' || *text == ':' || *text == '\\')
			putchar('\\');
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
	}
}

static void put_zsh_option(const char *name, const char *value, const char *text)
{
	bool file = strcmp(value, "FILE") == 0, level = strcmp(value, "LEVEL") == 0;
	printf("\t\t'*%s[", name);
	put_zsh_text(text);
	printf("]%s%s%s' \\\n", *value ? ":" : "", value, file ? ":_files" : level ? ":(error warn info debug)" : *value ? ": " : "");
}

void completions_zsh(void)
{
	printf("#compdef outrigger\n# zsh completion of outrigger; printed by `outrigger reference completions-zsh`\n"
		"_outrigger_commands()\n{\n\tlocal -a commands\n\tcommands=(\n");
#define X(word, use, text) fputs("\t\t'" #word ":", stdout); put_zsh_text(text); fputs("'\n", stdout);
	COMMANDS(X)
#undef X
	printf("\t)\n\t_describe command commands\n}\n\n"
		"_outrigger_operands()\n{\n\tcase ${words[(r)help]}${words[(r)reference]} in\n"
		"\thelp) _values topic");
	print_words();
	print_reasons();
	printf(" ;;\n\treference) _values page");
	print_pages();
	printf(" ;;\n\tesac\n}\n\n_outrigger()\n{\n\t_arguments \\\n");
#define X(field, name, brief, value, text) \
	if (*brief) \
		put_zsh_option(brief, value, text); \
	put_zsh_option(name, value, text);
	VALUED_OPTIONS(X)
#undef X
#define X(field, name, brief, text) \
	if (*brief) \
		put_zsh_option(brief, "", text); \
	put_zsh_option(name, "", text);
	FLAG_OPTIONS(X)
#undef X
	printf("\t\t'1: :_outrigger_commands' \\\n\t\t'*: :_outrigger_operands'\n}\n\n_outrigger \"$@\"\n");
}

/* ── fish ── */

static void put_fish_option(const char *name, const char *brief, const char *value, const char *text)
{
	bool is_long = name[0] == '-' && name[1] == '-';
	printf("complete -c outrigger %s %s", is_long ? "-l" : "-s", name + (is_long ? 2 : 1));
	if (*brief)
		printf(" -s %s", brief + 1);
	if (*value)
		fputs(strcmp(value, "FILE") == 0 ? " -r -F" : strcmp(value, "LEVEL") == 0 ? " -x -a 'error warn info debug'" : " -x", stdout);
	fputs(" -d ", stdout);
	put_quoted(text);
	putchar('\n');
}

void completions_fish(void)
{
	printf("# fish completion of outrigger; printed by `outrigger reference completions-fish`\ncomplete -c outrigger -f\n");
#define X(word, use, text) \
	fputs("complete -c outrigger -n __fish_use_subcommand -a " #word " -d ", stdout); \
	put_quoted(text); \
	putchar('\n');
	COMMANDS(X)
#undef X
	fputs("complete -c outrigger -n '__fish_seen_subcommand_from help' -a '", stdout);
	print_words();
	print_reasons();
	fputs("'\ncomplete -c outrigger -n '__fish_seen_subcommand_from reference' -a '", stdout);
	print_pages();
	fputs("'\n", stdout);
#define X(field, name, brief, value, text) put_fish_option(name, brief, value, text);
	VALUED_OPTIONS(X)
#undef X
#define X(field, name, brief, text) put_fish_option(name, brief, "", text);
	FLAG_OPTIONS(X)
#undef X
}
