/* What goes along when config.toml is replaced by a new file: its ACL above all, acl(5). */

#include <endian.h>
#include <sys/xattr.h>

#include "agent/base/attributes.h"
#include "agent/config-toml.h"
#include "tests/unit/scratch.h"

#define ACL         "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"

#define OLD "concurrent = 1\n"
#define NEW "concurrent = 2\n"

/* As in the kernel's linux/posix_acl_xattr.h. */
typedef struct AclEntry {
        uint16_t tag, perm;
        uint32_t id;
} AclEntry;
typedef struct Acl {
        uint32_t version;
        AclEntry entries[5];
} Acl;

/* rw for the owner and for user 1234, MASK for the group and as the mask, nothing for others. */
static Acl acl_new(uint16_t mask)
{
        const AclEntry entries[] = {
                {1, 6, UINT32_MAX}, {2, 6, 1234}, {4, mask, UINT32_MAX}, {16, mask, UINT32_MAX}, {32, 0, UINT32_MAX}};
        Acl acl = {.version = htole32(2)};

        for (size_t i = 0; i < ELEMENTS(entries); i++)
                acl.entries[i] =
                        (AclEntry){htole16(entries[i].tag), htole16(entries[i].perm), htole32(entries[i].id)};
        return acl;
}

static void replace(Scratch *scratch)
{
        _cleanup_(config_toml_freep) ConfigToml *ct = NULL;
        _cleanup_secret_ Secret *old = NULL, *new = NULL;
        _cleanup_free_ char *error = NULL;
        FileInfo info;

        assert_int_equal(config_toml_new(disk_real(), scratch_path(scratch, "etc/config.toml"),
                                 scratch_path(scratch, "state"), &ct),
                0);
        assert_int_equal(config_toml_check_writable(ct, &error), 0);
        assert_int_equal(config_toml_read(ct, &old, &info, &error), 0);
        assert_int_equal(secret_new(NEW, strlen(NEW), &new), 0);
        assert_int_equal(config_toml_replace(ct, &info, new, &error), 0);
        scratch_assert_content(scratch, "etc/config.toml", NEW);
}

static void test_replacing_keeps_the_acl(void **state)
{
        Scratch *scratch = *state;
        Acl acl = acl_new(4), after;

        scratch_mkdir(scratch, "etc");
        scratch_write(scratch, "etc/config.toml", OLD);
        if (setxattr(scratch_path(scratch, "etc/config.toml"), ACL, &acl, sizeof(acl), 0) < 0) {
                assert_int_equal(errno, ENOTSUP);
                skip();
        }
        replace(scratch);
        assert_int_equal(getxattr(scratch_path(scratch, "etc/config.toml"), ACL, &after, sizeof(after)), sizeof(acl));
        assert_memory_equal(&after, &acl, sizeof(acl));
        assert_int_equal(scratch_stat(scratch, "etc/config.toml").st_mode & 07777, 0640);
}

/* The new file is made in a folder that gives every new one an ACL; the old one kept user 1234 out. */
static void test_replacing_lets_in_nobody_new(void **state)
{
        Scratch *scratch = *state;
        Acl acl = acl_new(6);

        scratch_mkdir(scratch, "etc");
        scratch_write(scratch, "etc/config.toml", OLD);
        assert_int_equal(chmod(scratch_path(scratch, "etc/config.toml"), 0640), 0);
        if (setxattr(scratch_path(scratch, "etc"), DEFAULT_ACL, &acl, sizeof(acl), 0) < 0) {
                assert_int_equal(errno, ENOTSUP);
                skip();
        }
        replace(scratch);
        assert_int_equal(getxattr(scratch_path(scratch, "etc/config.toml"), ACL, NULL, 0), -1);
        assert_int_equal(errno, ENODATA);
        assert_int_equal(scratch_stat(scratch, "etc/config.toml").st_mode & 07777, 0640);
}

static void test_replacing_keeps_user_attributes(void **state)
{
        Scratch *scratch = *state;
        char value[16];

        scratch_mkdir(scratch, "etc");
        scratch_write(scratch, "etc/config.toml", OLD);
        if (setxattr(scratch_path(scratch, "etc/config.toml"), "user.managed-by", "puppet", 6, 0) < 0) {
                assert_int_equal(errno, ENOTSUP);
                skip();
        }
        replace(scratch);
        assert_int_equal(
                getxattr(scratch_path(scratch, "etc/config.toml"), "user.managed-by", value, sizeof(value)), 6);
        assert_memory_equal(value, "puppet", 6);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_replacing_keeps_the_acl, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(test_replacing_lets_in_nobody_new, scratch_setup, scratch_teardown),
                cmocka_unit_test_setup_teardown(
                        test_replacing_keeps_user_attributes, scratch_setup, scratch_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
