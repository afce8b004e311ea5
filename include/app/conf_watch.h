/* conf_watch.h - `--watch`: a reload whenever the configuration file has other bytes than before.
 *
 * The folder is watched, not the file: editors replace files, and Kubernetes replaces the link `..data` beside them. What happens there is only a
 * hint: half a second later, and every ten seconds anyway, the file is read and its hash compared.
 */
#ifndef APP_CONF_WATCH_H
#define APP_CONF_WATCH_H

struct conf_watch;
struct server;

/* NULL: out of memory, or nothing to watch with. */
struct conf_watch *conf_watch_new(struct server *);
/* Memory goes when the loop has closed the handles. */
void conf_watch_free(struct conf_watch *);

#endif
