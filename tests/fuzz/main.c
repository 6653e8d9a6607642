/* Runs one fuzzer over files and folders of files, without searching: the corpus as an ordinary test. */

#include <dirent.h>
#include <limits.h>

#include "tests/fuzz/fuzz.h"

static unsigned run_file(const char *path)
{
        FILE *f = fopen(path, "re");
        uint8_t *data = NULL;
        size_t size = 0;

        HOLDS(f && fseek(f, 0, SEEK_END) == 0);
        long end = ftell(f);
        HOLDS(end >= 0 && fseek(f, 0, SEEK_SET) == 0);
        size = (size_t)end;
        /* No byte more than there is, so that reading beyond it is seen. */
        data = malloc(size > 0 ? size : 1);
        HOLDS(data && fread(data, 1, size, f) == size);
        (void)fclose(f);
        /* Said before: what ends the program shall be known. */
        (void)printf("%s\n", path);
        (void)fflush(stdout);
        (void)LLVMFuzzerTestOneInput(data, size);
        free(data);
        return 1;
}

static unsigned run(const char *path)
{
        DIR *folder = opendir(path);
        struct dirent *entry;
        unsigned n = 0;

        if (!folder)
                return run_file(path);
        while ((entry = readdir(folder))) {
                char inside[PATH_MAX];

                if (entry->d_name[0] == '.')
                        continue;
                HOLDS((size_t)snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name) < sizeof(inside));
                n += run_file(inside);
        }
        (void)closedir(folder);
        return n;
}

int main(int argc, char **argv)
{
        unsigned n = 0;

        (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
        for (int i = 1; i < argc; i++)
                n += run(argv[i]);
        if (n == 0) {
                (void)fprintf(stderr, "there was no input\n");
                return 1;
        }
        return 0;
}
