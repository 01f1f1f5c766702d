import sys
import time

import MySQLdb

host, port, socket, user, password, database = sys.argv[1:]
conn = MySQLdb.connect(
    host=host, port=int(port), user=user, passwd=password, db=database, charset="utf8mb4",
    autocommit=True, **({"unix_socket": socket} if socket else {}),
)
cursor = conn.cursor()


def once():
    conn.autocommit(False)
    cursor.execute("LOCK TABLES `locked` WRITE")
    conn.commit()
    cursor.execute("UNLOCK TABLES")
    conn.autocommit(True)


for line in sys.stdin:
    started = time.perf_counter_ns()
    for _ in range(int(line)):
        once()
    print(time.perf_counter_ns() - started, flush=True)
