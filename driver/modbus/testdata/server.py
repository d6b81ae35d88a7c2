# An independent Modbus RTU server: eight coils and eight inputs, of which 1 and
# 3 are closed. Usage: server.py PORT
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartSerialServer
from pymodbus.transaction import ModbusRtuFramer

board = ModbusSlaveContext(
    co=ModbusSequentialDataBlock(0, [False] * 8),
    di=ModbusSequentialDataBlock(0, [True, False, True] + [False] * 5),
    zero_mode=True,
)
StartSerialServer(
    context=ModbusServerContext(slaves={1: board}, single=False),
    framer=ModbusRtuFramer, port=sys.argv[1], baudrate=9600, timeout=0.005,
)
