/* manual.h - the manual page and the shells' completions, printed from the tables in app/command.h, so that they cannot be out of date. */
#ifndef APP_MANUAL_H
#define APP_MANUAL_H

void manual_print(void);                  /* outrigger(8), in man(7) */
void completions_bash(void);
void completions_zsh(void);
void completions_fish(void);

#endif
