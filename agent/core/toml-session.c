#include "agent/core/toml-session.h"

const TomlValue *toml_edit_removed_root(const TomlEdit *edit, const TomlValue *value)
{
        const TomlValue *root = NULL;

        for (; value; value = value->parent)
                if (edit->removed[value->id])
                        root = value;
        return root;
}
