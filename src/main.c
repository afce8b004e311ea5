/* main.c - options and sub-commands; nothing else. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/server.h"
#include "app/version.h"
#include "base/log.h"

struct command { const char *word, *use; int (*run)(const struct options *); };

static const struct command commands[] = {
#define X(word, use, text) { #word, use, command_##word },
	COMMANDS(X)
#undef X
};

static int wrong(const char *what, const char *word)
{
	fprintf(stderr, "outrigger: %s '%s'\nTry 'outrigger --help'.\n", what, word);
	return EXIT_USAGE;
}

static int too_many(const char *word, const char *use)
{
	bool file = strstr(use, "-c FILE") && access(word, F_OK) == 0;
	fprintf(stderr, "outrigger: too many words: '%s'%s%s\nTry 'outrigger --help'.\n", word, file ? "; did you mean -c " : "", file ? word : "");
	return EXIT_USAGE;
}

/* How many words may follow the command? Its line in the help says so: "[-c FILE] METHOD URL" are two, "[A | B]" is one. */
static unsigned operands(const char *use)
{
	unsigned count = 0;
	while (*use) {
		count += *use != ' ' && !(use[0] == '[' && use[1] == '-');
		use += *use == '[' ? strcspn(use, "]") : strcspn(use, " ");
		use += *use != '\0';
	}
	return count;
}

/* An option that takes a value: "--name=value" or "--name value". */
static bool valued(const char *name, int argc, char **argv, int *i, const char **value)
{
	size_t len = strlen(name);
	if (strncmp(argv[*i], name, len) != 0)
		return false;
	if (argv[*i][len] == '=') {
		*value = argv[*i] + len + 1;
		return true;
	}
	if (argv[*i][len] != '\0')
		return false;
	*value = *i + 1 < argc ? argv[++*i] : NULL;
	return true;
}

static bool flag(const char *word, struct options *o)
{
#define X(field, name, brief, text) \
	if (strcmp(word, name) == 0 || (brief[0] && strcmp(word, brief) == 0)) { \
		o->field = true; \
		return true; \
	}
	FLAG_OPTIONS(X)
#undef X
	return false;
}

/* Fills *o and *command; returns EXIT_DONE or EXIT_USAGE. */
static int parse(int argc, char **argv, struct options *o, const char **command)
{
	struct { const char *name, *brief, **at; } valued_options[] = {
#define X(field, name, brief, value, text) { name, brief, &o->field },
		VALUED_OPTIONS(X)
#undef X
	};
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		bool taken = false;
		for (unsigned k = 0; k < sizeof(valued_options) / sizeof(*valued_options) && !taken; k++) {
			taken = valued(valued_options[k].name, argc, argv, &i, valued_options[k].at)
				|| (valued_options[k].brief[0] && valued(valued_options[k].brief, argc, argv, &i, valued_options[k].at));
			if (taken && !*valued_options[k].at)
				return wrong("a value must follow", word);
		}
		if (o->set) {
			if (o->set_count == SETS_MAX)
				return wrong("too many", "--set");
			o->sets[o->set_count++] = o->set;
			o->set = NULL;
		}
		if (taken || flag(word, o))
			continue;
		if (word[0] == '-' && word[1] != '\0')
			return wrong("unknown option", word);
		if (!*command)
			*command = word;
		else if (o->word_count < WORDS_MAX)
			o->words[o->word_count++] = word;
		else
			return wrong("too many arguments at", word);
	}
	if (o->test || o->help || o->version)
		*command = o->version ? "version" : o->help ? "help" : "check";
	return EXIT_DONE;
}

/* A service manager may have closed 0, 1 or 2: the next socket would take that number, and get what is meant for standard error. */
static void open_standard_streams(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct options o = { .admin = ADMIN_DEFAULT };
	const char *command = NULL;

	open_standard_streams();
	if (argc == 1) {
		usage();
		return EXIT_USAGE;
	}
	int code = parse(argc, argv, &o, &command);
	if (code != EXIT_DONE)
		return code;
	if (!command)
		command = "run";
	if (strcmp(command, "version") == 0) {
		version_print();
		return EXIT_DONE;
	}
	for (unsigned i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(commands[i].word, command) == 0) {
			unsigned most = operands(commands[i].use);
			return o.word_count > most ? too_many(o.words[most], commands[i].use) : commands[i].run(&o);
		}
	return wrong("unknown command", command);
}
