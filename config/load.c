#include "config/load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/builder.h"
#include "config/check.h"
#include "config/ini.h"
#include "config/trust.h"
#include "config/value.h"
#include "config/yaml.h"

typedef enum Format {
        FORMAT_INI,
        FORMAT_YAML,
        FORMAT_UNKNOWN,
} Format;

static bool ends_with(const char *text, const char *ending)
{
        size_t n = strlen(text), size = strlen(ending);

        return n > size && memcmp(text + n - size, ending, size) == 0;
}

static Format format_of(const char *path)
{
        if (ends_with(path, ".ini"))
                return FORMAT_INI;
        if (ends_with(path, ".yaml") || ends_with(path, ".yml"))
                return FORMAT_YAML;
        return FORMAT_UNKNOWN;
}

static unsigned line_at(const char *data, size_t at)
{
        unsigned line = 1;

        for (size_t i = 0; i < at; i++)
                line += data[i] == '\n';
        return line;
}

/* What makes it no text. 1: it is none, and a mistake says so. */
static int check_text(Builder *builder, const char *data, size_t size)
{
        const char *nul = memchr(data, 0, size);
        size_t valid = value_check_utf8(data, size);
        int r;

        if (size >= 2 && (memcmp(data, "\xFF\xFE", 2) == 0 || memcmp(data, "\xFE\xFF", 2) == 0))
                r = builder_mistake(builder, 1, NULL, "the file is UTF-16, expected UTF-8");
        else if (nul && (size_t)(nul - data) <= valid)
                r = builder_mistake(builder, line_at(data, (size_t)(nul - data)), NULL,
                        "the file holds a NUL byte, expected text");
        else if (valid < size)
                r = builder_mistake(
                        builder, line_at(data, valid), NULL, "the file is not valid UTF-8, expected text");
        else
                return 0;
        return r < 0 ? r : 1;
}

/* Reads FD whole. 1: it is too large, and a mistake says so. */
static int read_content(Builder *builder, int fd, Secret **ret)
{
        _cleanup_secret_ Secret *content = NULL;
        char buffer[16 * 1024];
        ssize_t n = 0;

        int r = secret_new(NULL, 0, &content);
        while (r >= 0) {
                n = read(fd, buffer, sizeof(buffer));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                if (secret_size(content) + (size_t)n > CONFIG_FILE_SIZE_MAX) {
                        r = builder_mistake(builder, 0, NULL, "the file is too large, expected at most %d bytes",
                                CONFIG_FILE_SIZE_MAX);
                        r = r < 0 ? r : 1;
                        break;
                }
                r = secret_append(content, buffer, (size_t)n);
        }
        explicit_bzero(buffer, sizeof(buffer));
        if (r == 0 && n < 0) {
                r = builder_mistake(
                        builder, 0, NULL, "the file can't be read: %s, expected a file that can", strerror(errno));
                r = r < 0 ? r : 1;
        }
        if (r == 0)
                *ret = take_ptr(content);
        return r;
}

static int read_file(Builder *builder, const char *path)
{
        _cleanup_secret_ Secret *content = NULL;
        _cleanup_free_ char *wrong = NULL;
        _cleanup_close_ int fd = -1;
        Format format = format_of(path);
        struct stat st;

        int r = mistakes_add_file(builder->mistakes, path, NULL);
        if (r < 0)
                return r;
        if (format == FORMAT_UNKNOWN)
                return mistakes_add(builder->mistakes, path, 0, NULL,
                        "its kind is unknown, expected a name in .ini, .yaml or .yml");
        r = trust_open_file(path, 0, &fd, &st, &wrong);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return mistakes_add(builder->mistakes, path, 0, NULL, "%s", wrong);
        r = builder_begin_file(builder, path, trust_others_can_read(&st));
        if (r >= 0)
                r = read_content(builder, fd, &content);
        if (r == 0 && secret_size(content) > 0)
                r = check_text(builder, secret_data(content), secret_size(content));
        if (r != 0)
                return r < 0 ? r : 0;
        if (secret_size(content) == 0)
                return 0;

        char *data = secret_buffer(content);
        size_t size = secret_size(content);
        /* A byte order mark says nothing in UTF-8, but some editors write it. */
        if (size >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) {
                data += 3;
                size -= 3;
        }
        return format == FORMAT_INI ? ini_read(builder, data, size) : yaml_read(builder, data, size);
}

static int read_and_check(
        char *const *files, const Specifiers *specifiers, ConfigFlags flags, Config **ret, Mistakes *mistakes)
{
        _cleanup_(config_freep) Config *config = NULL;

        int r = config_new(&config);
        if (r < 0)
                return r;
        Builder builder = {.config = config, .mistakes = mistakes};
        for (; *files && r >= 0; files++)
                r = read_file(&builder, *files);
        builder_done(&builder);
        if (r >= 0)
                r = config_check(config, specifiers, flags, mistakes);
        if (r < 0)
                return r;
        mistakes_sort(mistakes);
        if (mistakes->n_items > 0)
                return -EBADMSG;
        *ret = take_ptr(config);
        return 0;
}

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static int append_path(char ***files, size_t *n, const char *folder, const char *name)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        int r = value_list_append(files, *n, path);
        if (r >= 0)
                (*n)++;
        return r;
}

/* config.ini, config.yaml or config.yml: one of them. */
static int find_main(const char *directory, char ***files, size_t *n, Mistakes *mistakes)
{
        static const char *const names[] = {"config.ini", "config.yaml", "config.yml"};

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                _cleanup_free_ char *path = NULL;
                struct stat st;

                if (asprintf(&path, "%s/%s", directory, names[i]) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                /* A link without its target is there, and wrong; so is what can't be looked at. */
                if (lstat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
                        continue;
                int r = value_list_append(files, *n, path);
                if (r < 0)
                        return r;
                if ((*n)++ > 0) {
                        r = mistakes_add(
                                mistakes, path, 0, NULL, "there is '%s' too, expected one of them", (*files)[0]);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static bool is_drop_in(const char *name)
{
        return name[0] != '.' && format_of(name) != FORMAT_UNKNOWN;
}

static int find_drop_ins(const char *directory, char ***files, size_t *n, Mistakes *mistakes)
{
        _cleanup_free_ char *folder = NULL;
        size_t first = *n;
        int r = 0;

        if (asprintf(&folder, "%s/conf.d", directory) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        DIR *dir = opendir(folder);
        if (!dir)
                return errno == ENOENT || errno == ENOTDIR
                               ? 0
                               : mistakes_add(mistakes, folder, 0, NULL,
                                         "the folder can't be read: %s, expected one that can", strerror(errno));
        for (const struct dirent *entry; r >= 0 && (entry = readdir(dir));) {
                if (!is_drop_in(entry->d_name))
                        continue;
                if (*n >= CONFIG_FILES_MAX) {
                        r = mistakes_add(mistakes, folder, 0, NULL,
                                "there are too many files, expected fewer than %d", CONFIG_FILES_MAX);
                        break;
                }
                r = append_path(files, n, folder, entry->d_name);
        }
        (void)closedir(dir);
        if (*n > first)
                qsort(*files + first, *n - first, sizeof(**files), compare_strings);
        return r;
}

int config_load_directory(
        const char *directory, const Specifiers *specifiers, ConfigFlags flags, Config **ret, Mistakes *mistakes)
{
        _cleanup_(value_list_freep) char **files = calloc(1, sizeof(*files));
        size_t n = 0;

        if (!files)
                return -ENOMEM;
        int r = find_main(directory, &files, &n, mistakes);
        if (r >= 0)
                r = find_drop_ins(directory, &files, &n, mistakes);
        if (r >= 0 && n == 0 && mistakes->n_items == 0 && !(flags & CONFIG_ALLOW_NO_RUNNER))
                r = mistakes_add(mistakes, NULL, 0, NULL,
                        "there is no configuration, expected %s/config.ini, config.yaml, config.yml or a file in "
                        "conf.d/",
                        directory);
        if (r < 0)
                return r;
        return read_and_check(files, specifiers, flags, ret, mistakes);
}

int config_load(
        const char *const *files, const Specifiers *specifiers, ConfigFlags flags, Config **ret, Mistakes *mistakes)
{
        _cleanup_(value_list_freep) char **copy = calloc(1, sizeof(*copy));

        if (!files)
                return config_load_directory(CONFIG_DIRECTORY, specifiers, flags, ret, mistakes);
        if (!copy)
                return -ENOMEM;
        for (size_t n = 0; files[n]; n++) {
                int r = value_list_append(&copy, n, files[n]);
                if (r < 0)
                        return r;
        }
        return read_and_check(copy, specifiers, flags, ret, mistakes);
}
