//! The C client library, with nothing in between: the floor.

use std::ffi::{CStr, CString, c_void};
use std::mem;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use mysqlclient_sys as ffi;
use percent_encoding::percent_decode_str;
use url::Url;

/// A connection, with the settings that Diesel gives to its own.
pub(crate) struct Raw(NonNull<ffi::MYSQL>);

impl Raw {
    pub(crate) fn connect(url: &str) -> Rc<Self> {
        /// As Diesel asks for.
        const CLIENT_FOUND_ROWS: u32 = 2;
        let url = Url::parse(url).expect("DATABASE_URL is an address");
        let text = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8().expect("addresses are UTF-8");
            CString::new(decoded.into_owned()).expect("no NUL in an address")
        };
        let host = text(url.host_str().unwrap_or_default());
        let (user, password) = (text(url.username()), url.password().map(text));
        let database = text(url.path().trim_start_matches('/'));
        let socket = url.query_pairs().find(|(key, _)| key == "unix_socket");
        let socket = socket.map(|(_, path)| text(&path));
        let or_null = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |s| s.as_ptr());

        // SAFETY: the library makes the connection, and every text outlives the call that reads it.
        let raw = unsafe {
            // As Diesel does: threads must not be the first ones to initialise the library.
            ffi::mysql_server_init(0, ptr::null_mut(), ptr::null_mut());
            let raw = Self(NonNull::new(ffi::mysql_init(ptr::null_mut())).expect("out of memory"));
            ffi::mysql_options(
                raw.0.as_ptr(),
                ffi::mysql_option::MYSQL_SET_CHARSET_NAME,
                c"utf8mb4".as_ptr().cast(),
            );
            ffi::mysql_real_connect(
                raw.0.as_ptr(),
                host.as_ptr(),
                user.as_ptr(),
                or_null(&password),
                database.as_ptr(),
                u32::from(url.port().unwrap_or(0)),
                or_null(&socket),
                CLIENT_FOUND_ROWS.into(),
            );
            raw
        };
        raw.check("connect");
        for setting in [
            "SET time_zone = '+00:00'",
            "SET character_set_client = 'utf8mb4'",
            "SET character_set_connection = 'utf8mb4'",
            "SET character_set_results = 'utf8mb4'",
        ] {
            raw.query(setting);
        }
        Rc::new(raw)
    }

    /// Runs one statement that returns no rows.
    pub(crate) fn query(&self, sql: &str) {
        // SAFETY: the connection lives, and the text is as long as said.
        let failed = unsafe {
            let length = sql.len().try_into().expect("a short statement");
            ffi::mysql_real_query(self.0.as_ptr(), sql.as_ptr().cast(), length)
        };
        if failed != 0 {
            self.check(sql);
        }
    }

    fn check(&self, what: &str) {
        // SAFETY: the connection lives, and its message does until the next call.
        let message = unsafe { CStr::from_ptr(ffi::mysql_error(self.0.as_ptr())) };
        assert!(message.is_empty(), "{what}: {}", message.to_string_lossy());
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: its statements, which share the connection, are closed by now.
        unsafe { ffi::mysql_close(self.0.as_ptr()) }
    }
}

/// A parameter of a prepared statement.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

/// A prepared statement whose parameters were bound once.
pub(crate) struct Statement {
    stmt: NonNull<ffi::MYSQL_STMT>,
    conn: Rc<Raw>,
    /// Where the library reads the parameters.
    _values: Box<[Value]>,
    /// Where it writes the one column of the one row, if there is one.
    column: Option<Box<i64>>,
}

impl Statement {
    pub(crate) fn prepare(conn: &Rc<Raw>, sql: &str, values: &[Value]) -> Self {
        let mut values: Box<[Value]> = values.into();
        let mut binds: Vec<_> = values.iter_mut().map(bind).collect();
        // SAFETY: the library copies what it is given, but for the buffers, which the statement
        // owns; there are as many of them as parameters and columns, which is asserted.
        unsafe {
            let stmt = NonNull::new(ffi::mysql_stmt_init(conn.0.as_ptr())).expect("out of memory");
            let length = sql.len().try_into().expect("a short statement");
            ffi::mysql_stmt_prepare(stmt.as_ptr(), sql.as_ptr().cast(), length);
            let mut statement = Self { stmt, conn: Rc::clone(conn), _values: values, column: None };
            statement.check(sql);
            assert_eq!(ffi::mysql_stmt_param_count(stmt.as_ptr()), binds.len() as u64, "{sql}");
            ffi::mysql_stmt_bind_param(stmt.as_ptr(), binds.as_mut_ptr());
            match ffi::mysql_stmt_field_count(stmt.as_ptr()) {
                0 => {}
                1 => {
                    let column = statement.column.insert(Box::new(0));
                    ffi::mysql_stmt_bind_result(stmt.as_ptr(), &mut number(column));
                }
                more => panic!("{more} columns: {sql}"),
            }
            statement.check(sql);
            statement
        }
    }

    /// Returns the one column of the one row, or the number of rows affected.
    pub(crate) fn run(&mut self) -> i64 {
        let stmt = self.stmt.as_ptr();
        // SAFETY: everything bound lives as long as the statement, and is used nowhere else.
        unsafe {
            if ffi::mysql_stmt_execute(stmt) != 0 {
                self.check("execute");
            }
            let Some(column) = &self.column else {
                return ffi::mysql_stmt_affected_rows(stmt).try_into().expect("few rows");
            };
            assert_eq!(ffi::mysql_stmt_fetch(stmt), 0, "there is a row");
            let value = **column;
            ffi::mysql_stmt_free_result(stmt);
            value
        }
    }

    fn check(&self, what: &str) {
        // SAFETY: the statement lives, and its message does until the next call.
        let message = unsafe { CStr::from_ptr(ffi::mysql_stmt_error(self.stmt.as_ptr())) };
        assert!(message.is_empty(), "{what}: {}", message.to_string_lossy());
        self.conn.check(what);
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: it is not used after this, and its connection still lives.
        unsafe { ffi::mysql_stmt_close(self.stmt.as_ptr()) };
    }
}

fn bind(value: &mut Value) -> ffi::MYSQL_BIND {
    match value {
        Value::Number(value) => number(value),
        Value::Text(text) => {
            let mut bind = empty();
            bind.buffer_type = ffi::enum_field_types::MYSQL_TYPE_STRING;
            bind.buffer = text.as_mut_ptr().cast::<c_void>();
            bind.buffer_length = text.len().try_into().expect("a short text");
            bind
        }
    }
}

fn number(value: &mut i64) -> ffi::MYSQL_BIND {
    let mut bind = empty();
    bind.buffer_type = ffi::enum_field_types::MYSQL_TYPE_LONGLONG;
    bind.buffer = ptr::from_mut(value).cast::<c_void>();
    bind
}

fn empty() -> ffi::MYSQL_BIND {
    // SAFETY: a struct of C, made of numbers and pointers, for which zero means that nothing is
    // set.
    unsafe { mem::zeroed() }
}
