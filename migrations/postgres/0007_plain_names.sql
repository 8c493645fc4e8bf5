-- Renames a column to the term of the glossary: a namespace is initialized.

alter table namespaces rename column founded_at to initialized_at;
